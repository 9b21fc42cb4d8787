package logbroker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// nodes remember what they were asked; those that are away cannot be.
type nodes struct {
	away  map[string]bool
	asked []string // NODE:TASKS, with the tail that was asked for and since when
}

func (n *nodes) SubscribeLogs(nodeID string, sub *dispatchpb.LogSubscription) error {
	if n.away[nodeID] {
		return errdefs.ErrUnavailable
	}
	text := nodeID + ":" + strings.Join(sub.GetTaskIds(), "+")
	if sub.GetClose() {
		text = nodeID + ":close"
	} else {
		text += fmt.Sprint(" tail ", sub.GetOptions().GetTail())
		if since := sub.GetOptions().GetSince(); since != nil {
			text += fmt.Sprint(" since ", since.AsTime().Unix())
		}
	}
	n.asked = append(n.asked, text)
	return nil
}

// took returns what was asked since it was last called.
func (n *nodes) took() string {
	text := strings.Join(n.asked, ", ")
	n.asked = nil
	return text
}

// talk is a subscription to the tasks of service web, with the last 5 lines of
// each: a and b on n1, c on n2, whose host is called two.
type talk struct {
	*subscription
	*nodes
	st  *state.State
	now time.Time
}

func begin(t *testing.T, follow bool, away ...string) *talk {
	t.Helper()
	st := storetest.State(t,
		state.PutNode(&raftpb.PutNode{Id: "n1", Role: clusterpb.NodeRole_NODE_ROLE_WORKER}),
		state.PutNode(&raftpb.PutNode{Id: "n2", Role: clusterpb.NodeRole_NODE_ROLE_WORKER}),
		state.ObserveNode(&raftpb.ObserveNode{Id: "n2", Description: &clusterpb.NodeDescription{Hostname: "two"}}))
	for _, task := range []*clusterpb.Task{{Id: "a", NodeId: "n1"}, {Id: "b", NodeId: "n1"}, {Id: "c", NodeId: "n2"}, {Id: "d"}} {
		task.ServiceId = "web"
		st = storetest.Apply(t, st, state.CreateTask(task))
	}
	n := &nodes{away: make(map[string]bool)}
	for _, id := range away {
		n.away[id] = true
	}
	req := &controlpb.SubscribeLogsRequest{ServiceIds: []string{"web"}, Options: &logspb.LogOptions{Follow: follow, Tail: 5}}
	s := newSubscription("s", req, n)
	s.add(st, false)
	return &talk{s, n, st, time.Unix(1000, 0)}
}

// later asks again after a while, and returns the warnings.
func (k *talk) later(d time.Duration) string {
	k.now = k.now.Add(d)
	return strings.Join(k.ask(k.now), "; ")
}

func (k *talk) isFinished() bool { return k.finished(k.now, k.now) }

func TestEachNodeIsAskedOnceForItsTasks(t *testing.T) {
	k := begin(t, true)
	if w, asked := k.later(0), k.took(); w != "" || asked != "n1:a+b tail 5, n2:c tail 5" {
		t.Errorf("warned %q, asked %q", w, asked)
	}
	if w, asked := k.later(time.Second), k.took(); w != "" || asked != "" {
		t.Errorf("a second time warned %q, asked %q", w, asked)
	}
	// d has got a node meanwhile: of a new task everything is wanted.
	k.st = storetest.Apply(t, k.st, state.AssignTask("d", "n2", nil))
	k.add(k.st, true)
	if w, asked := k.later(time.Second), k.took(); w != "" || asked != "n2:d tail -1" {
		t.Errorf("for a new task warned %q, asked %q", w, asked)
	}
}

func TestNodeThatIsAwayIsWarnedOfOnce(t *testing.T) {
	const warning = "node two is not connected: logs of task c are missing"
	for name, follow := range map[string]bool{"following": true, "not following": false} {
		t.Run(name, func(t *testing.T) {
			k := begin(t, follow, "n2")
			if w := k.later(0); w != warning {
				t.Errorf("warned %q, want %q", w, warning)
			}
			k.took()
			if w := k.later(time.Second); w != "" {
				t.Errorf("warned again: %q", w)
			}
			k.away = nil
			want := map[bool]string{true: "n2:c tail 5", false: ""}[follow]
			k.later(time.Second)
			if asked := k.took(); asked != want {
				t.Errorf("once it is back it is asked %q, want %q", asked, want)
			}
		})
	}
}

// TestWarningsNameNodes as people know them, also those that are no more: an id
// that nothing lists any longer tells nobody anything.
func TestWarningsNameNodes(t *testing.T) {
	k := begin(t, false)
	k.later(0)
	stream, _ := k.open("n2")
	k.closed("n2", stream, false)
	if warning := <-k.warnings; warning != "node two was lost while it sent logs: they may be incomplete" {
		t.Errorf("warned %q", warning)
	}

	k = begin(t, true)
	k.st = storetest.Apply(t, k.st, state.DeleteNode("n2", nil))
	k.away = map[string]bool{"n2": true}
	if w := k.later(0); w != "node two is not connected: logs of task c are missing" {
		t.Errorf("of a node that was removed meanwhile it warned %q", w)
	}
	again := newSubscription("again", k.req, k.nodes)
	again.add(k.st, false)
	if w := strings.Join(again.ask(k.now), "; "); w != "a node that was removed is not connected: logs of task c are missing" {
		t.Errorf("of a node that had been removed it warned %q", w)
	}
}

func TestNodeThatDoesNotAnswer(t *testing.T) {
	const warning = "node n1 does not answer: logs of 2 tasks (a, b) are missing; node two does not answer: logs of task c are missing"
	k := begin(t, true)
	k.later(0)
	k.took()
	if w := k.later(answerTimeout - time.Millisecond); w != "" {
		t.Errorf("warned before the time: %q", w)
	}
	if w := k.later(time.Millisecond); w != warning {
		t.Errorf("warned %q, want %q", w, warning)
	}
	if asked := k.took(); asked != "n1:a+b tail -1, n2:c tail -1" {
		t.Errorf("asked again %q, want all that is missing", asked)
	}
	k = begin(t, false)
	k.later(0)
	if k.isFinished() {
		t.Error("it is finished with nodes that were just asked")
	}
	if k.later(answerTimeout); !k.isFinished() {
		t.Error("whoever does not follow waits for nodes that do not answer")
	}
}

// A stream that broke is asked for again from where the client's lines end:
// from the task whose lines end first, or from the beginning if one has none.
func TestBrokenStreamIsResumed(t *testing.T) {
	tests := map[string]struct {
		lines []*logspb.LogMessage // of tasks a and b
		want  string
	}{
		"both have lines": {[]*logspb.LogMessage{line("a", 30), line("b", 20)}, "n1:a+b tail -1 since 20"},
		"one has none":    {[]*logspb.LogMessage{line("a", 30)}, "n1:a+b tail -1"},
		"none has any":    {nil, "n1:a+b tail -1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			k := begin(t, true)
			k.later(0)
			stream, ok := k.open("n1")
			if !ok {
				t.Fatal("the node was not asked")
			}
			if err := k.put(t.Context(), "n1", stream, &logspb.PublishLogsRequest{Messages: tt.lines}); err != nil {
				t.Fatal(err)
			}
			k.closed("n1", stream, false)
			k.took()
			if w, asked := k.later(time.Second), k.took(); w != "" || asked != tt.want {
				t.Errorf("warned %q, asked %q, want %q", w, asked, tt.want)
			}
		})
	}
}

// What the client asked for is never exceeded: lines before its own "since"
// are not fetched because a stream broke.
func TestResumeDoesNotGoBehindTheClientsSince(t *testing.T) {
	k := begin(t, true)
	k.req.Options.Since = timestamppb.New(time.Unix(50, 0))
	k.later(0)
	stream, _ := k.open("n1")
	for _, m := range []*logspb.LogMessage{line("a", 30), line("b", 20)} {
		if err := k.put(t.Context(), "n1", stream, &logspb.PublishLogsRequest{Messages: []*logspb.LogMessage{m}}); err != nil {
			t.Fatal(err)
		}
	}
	k.closed("n1", stream, false)
	k.took()
	k.later(time.Second)
	if asked := k.took(); asked != "n1:a+b tail -1 since 50" {
		t.Errorf("asked %q", asked)
	}
}

func TestLinesThatComeTwiceAreLeftOut(t *testing.T) {
	k := begin(t, true)
	put := func(lines ...*logspb.LogMessage) string { return text(k.fresh("n1", lines)) }
	k.later(0)
	stream, _ := k.open("n1")
	if got := put(line("a", 1), line("c", 1), line("b", 1), line("a", 2)); got != "a1 b1 a2" {
		t.Errorf("passed on %q, want no line of a task elsewhere", got)
	}
	k.closed("n1", stream, false)
	if got := put(line("a", 1), line("a", 2), line("b", 2), line("a", 3)); got != "b2 a3" {
		t.Errorf("passed on %q, want what the client does not have", got)
	}
	if got := put(line("a", 2)); got != "" {
		t.Errorf("passed on %q, want nothing", got)
	}
}

// Whoever does not follow is told that a broken stream is not asked for again.
func TestBrokenStreamOfOneThatDoesNotFollow(t *testing.T) {
	k := begin(t, false)
	k.later(0)
	one, _ := k.open("n1")
	two, _ := k.open("n2")
	k.closed("n1", one, false)
	if warning := <-k.warnings; warning != "node n1 was lost while it sent logs: they may be incomplete" {
		t.Errorf("warned %q", warning)
	}
	if k.isFinished() {
		t.Error("it is finished before n2 has sent all")
	}
	if k.closed("n2", two, true); !k.isFinished() {
		t.Error("it is not finished")
	}
}

func TestOnlyWhoWasAskedMayPublish(t *testing.T) {
	k := begin(t, true)
	if _, ok := k.open("n1"); ok {
		t.Error("a node may publish before it was asked")
	}
	k.later(0)
	if _, ok := k.open("n1"); !ok {
		t.Error("one that was asked may not")
	}
	for _, id := range []string{"n1", "n9"} {
		if _, ok := k.open(id); ok {
			t.Errorf("%s may publish more streams than it was asked for", id)
		}
	}
}

func TestEveryNodeThatWasAskedIsToldOfTheEnd(t *testing.T) {
	k := begin(t, true, "n2")
	k.later(0)
	k.took()
	k.away = nil
	k.close()
	if told := k.took(); told != "n1:close, n2:close" {
		t.Errorf("told %q", told)
	}
	select {
	case <-k.done:
	default:
		t.Error("those that publish are not told")
	}
}
