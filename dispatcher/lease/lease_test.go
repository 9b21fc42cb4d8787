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

// TestAwayByAClockThatWasAhead: a node that said good-bye to a leader whose clock
// was ahead has the time of a restart, and no more.
func TestAwayByAClockThatWasAhead(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := New(slices.Values([]*clusterpb.Node{{Id: "away", Status: &clusterpb.NodeStatus{
		State: clusterpb.NodeStatus_STATE_DISCONNECTED, Since: timestamppb.New(now.Add(24 * time.Hour)),
	}}}), time.Second, now)
	if ids, next := l.Expired(now); len(ids) > 0 || next.Sub(now) != GoodbyeGrace {
		t.Errorf("%v are lost, the next is due in %v, want none and %v", ids, next.Sub(now), GoodbyeGrace)
	}
	now = now.Add(goodbyeCounts + 1)
	if mark := l.LowWaterMark(7, now, func(string) (uint64, bool) { return 0, false }); mark != 7 {
		t.Errorf("after %v the low-water mark is %d, want 7", goodbyeCounts, mark)
	}
}

// TestExpired: who is lost first, and what may move that.
func TestExpired(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	tests := map[string]struct {
		edit func(*Table)
		want string // nodes lost by 3 s, and the seconds until the next look
	}{
		"nothing happens":             {func(*Table) {}, "[a b] 0"},
		"one is heard":                {func(l *Table) { l.Heard("a", at(1)) }, "[b] 4"},
		"one is forgotten":            {func(l *Table) { l.Forget("b") }, "[a] 0"},
		"strangers do nothing":        {func(l *Table) { l.Heard("z", at(1)); l.Disconnect("z"); l.Goodbye("z", at(1)); l.Acknowledge("z", 1) }, "[a b] 0"},
		"a stranger is suspected":     {func(l *Table) { l.Suspect("z", at(1)) }, "[a b] 0"},
		"the leader stood still":      {func(l *Table) { l.Extend(2 * time.Second) }, "[] 5"},
		"a longer period":             {func(l *Table) { l.SetPeriod(10 * time.Second) }, "[a b] 0"},
		"a longer period, and heard":  {func(l *Table) { l.SetPeriod(10 * time.Second); l.Heard("a", at(1)) }, "[b] 31"},
		"a shorter period, and heard": {func(l *Table) { l.SetPeriod(100 * time.Millisecond); l.Heard("a", at(2.8)) }, "[b] 3.1"},
		"suspicion never lengthens":   {func(l *Table) { l.Disconnect("a"); l.Suspect("a", at(2.5)) }, "[a b] 0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := New(slices.Values([]*clusterpb.Node(nil)), time.Second, start)
			l.Connect("a", start)
			l.Connect("b", start)
			tt.edit(l)
			ids, next := l.Expired(at(3))
			wait := 0.0
			if !next.IsZero() {
				wait = next.Sub(start).Seconds()
			}
			if got := fmt.Sprint(ids, wait); got != tt.want {
				t.Errorf("lost and next look %q, want %q", got, tt.want)
			}
		})
	}
	l := New(slices.Values([]*clusterpb.Node(nil)), time.Second, start)
	if l.Period() != time.Second || l.Silence() != 3*time.Second {
		t.Errorf("a node may be silent for %v at a period of %v", l.Silence(), l.Period())
	}
}

// TestSuspectSaysWhoIsConnected: then a heartbeat is asked for.
func TestSuspectSaysWhoIsConnected(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := New(slices.Values([]*clusterpb.Node(nil)), time.Second, now)
	l.Connect("here", now)
	l.Connect("broken", now)
	l.Disconnect("broken")
	for id, want := range map[string]bool{"here": true, "broken": false, "never seen": false} {
		if got := l.Suspect(id, now); got != want {
			t.Errorf("%s is connected: %v, want %v", id, got, want)
		}
	}
}

// TestAcknowledged: what a node once held it still holds, whatever it says
// later, and a new session does not change that.
func TestAcknowledged(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	unknown := func(string) (uint64, bool) { return 0, false }
	l := New(slices.Values([]*clusterpb.Node(nil)), time.Second, now)
	l.Connect("n", now)
	for _, index := range []uint64{7, 5} {
		l.Acknowledge("n", index)
	}
	l.Connect("n", now)
	if got := l.LowWaterMark(100, now, unknown); got != 7 {
		t.Errorf("low-water mark %d, want 7", got)
	}
	l.Forget("n")
	if got := l.LowWaterMark(100, now, unknown); got != 100 {
		t.Errorf("low-water mark %d once the node is lost, want 100", got)
	}
}

func TestOwes(t *testing.T) {
	tests := map[string]struct {
		awaited    []uint64
		told, mark uint64
		want       bool
	}{
		"nothing is awaited":  {nil, 1, 100, false},
		"it is reached":       {[]uint64{50}, 49, 50, true},
		"not yet":             {[]uint64{50}, 40, 49, false},
		"the node knows":      {[]uint64{50}, 50, 60, false},
		"one of several":      {[]uint64{90, 50, 10}, 40, 60, true},
		"none of several":     {[]uint64{90, 10}, 40, 60, false},
		"a mark that is back": {[]uint64{50}, 60, 40, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Owes(tt.awaited, tt.told, tt.mark); got != tt.want {
				t.Errorf("owes %v, want %v", got, tt.want)
			}
		})
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
