package lease

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// TestLeases says when a node is lost, in seconds of silence after a story.
func TestLeases(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	tests := map[string]struct {
		story string // one letter a second, then silence
		want  float64
	}{
		"one heartbeat":                          {"h", 3},
		"many heartbeats":                        {"hhhhh", 7},
		"broken stream is not a verdict":         {"hb", 3},
		"heartbeats of a broken stream are none": {"hbh", 3},
		"back in time":                           {"hb.c", 6},
		"planned restart":                        {"hgb", 31},
		"planned restart, back and lost":         {"hgb...c", 9},
		"suspect and broken":                     {"hbs", 3},
		"suspect and broken early":               {"ht", 1.1},
		"suspect but connected":                  {"hs", 3},
		"suspect during a planned restart":       {"hgbs", 31},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := &Table{period: time.Second, nodes: map[string]*lease{}}
			l.Connect("n", start)
			for i, c := range tt.story {
				now := start.Add(time.Duration(i) * time.Second)
				switch c {
				case 'h':
					l.Heard("n", now)
				case 'b':
					l.Disconnect("n")
				case 'c':
					l.Connect("n", now)
				case 'g':
					l.Goodbye("n", now)
				case 's':
					l.Suspect("n", now)
				case 't': // broken and suspected right after the last heartbeat
					l.Disconnect("n")
					l.Suspect("n", start.Add(100*time.Millisecond))
				}
			}
			_, next := l.Expired(start)
			if got := next.Sub(start).Seconds(); got != tt.want {
				t.Errorf("lost after %v s, want %v", got, tt.want)
			}
			if ids, _ := l.Expired(next.Add(-1)); len(ids) != 0 {
				t.Error("lost before its time")
			}
			if ids, _ := l.Expired(next); !slices.Equal(ids, []string{"n"}) {
				t.Error("not lost at its time")
			}
		})
	}
}

// TestNewTerm says which leases a new leader grants.
func TestNewTerm(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var nodes []*clusterpb.Node
	for id, s := range map[string]clusterpb.NodeStatus_State{
		"ready": clusterpb.NodeStatus_STATE_READY, "down": clusterpb.NodeStatus_STATE_DOWN,
		"away": clusterpb.NodeStatus_STATE_DISCONNECTED, "never": clusterpb.NodeStatus_STATE_UNSPECIFIED,
	} {
		nodes = append(nodes, &clusterpb.Node{Id: id, Status: &clusterpb.NodeStatus{
			State: s, Since: timestamppb.New(now.Add(-10 * time.Second)),
		}})
	}
	l := New(slices.Values(nodes), time.Second, now)
	var got []string
	for id, n := range l.nodes {
		got = append(got, fmt.Sprintf("%s:%v", id, n.until.Sub(now)))
	}
	slices.Sort(got)
	if s := strings.Join(got, " "); s != "away:20s ready:6s" {
		t.Errorf("leases %q, want away:20s ready:6s", s)
	}
}

// TestLowWaterMark writes a node as what it acknowledged, its session as c
// (connected) or b (broken) or g (said good-bye), and the seconds since.
func TestLowWaterMark(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	tests := map[string]struct {
		nodes []lease
		held  []uint64 // of connected nodes, as their session knows
		want  uint64
	}{
		"nobody":                       {nil, nil, 100},
		"the slowest counts":           {[]lease{{connected: true}, {connected: true}}, []uint64{90, 70}, 70},
		"a broken one counts":          {[]lease{{connected: true}, {acked: 50}}, []uint64{90}, 50},
		"one that just left counts":    {[]lease{{connected: true}, {acked: 50, left: now.Add(-9 * time.Second)}}, []uint64{90}, 50},
		"one that left a while ago":    {[]lease{{connected: true}, {acked: 50, left: now.Add(-11 * time.Second)}}, []uint64{90}, 90},
		"a new leader knows nothing":   {[]lease{{}}, nil, 0},
		"all are where the leader is ": {[]lease{{connected: true}}, []uint64{100}, 100},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := &Table{nodes: map[string]*lease{}}
			for i, n := range tt.nodes {
				l.nodes[fmt.Sprint(i)] = &n
			}
			got := l.LowWaterMark(100, now, func(id string) (uint64, bool) {
				var i int
				_, _ = fmt.Sscan(id, &i)
				if i < len(tt.held) && l.nodes[id].connected {
					return tt.held[i], true
				}
				return 0, false
			})
			if got != tt.want {
				t.Errorf("low-water mark %d, want %d", got, tt.want)
			}
		})
	}
}
