package dispatcher

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// TestTake puts reports, written NODE/TASK:STATE, and reads what of them is to
// be written down. Task a is on n1 and running, b on n2 and assigned.
func TestTake(t *testing.T) {
	st := stateOf(t,
		state.CreateTask(&clusterpb.Task{Id: "a", ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{}}),
		state.CreateTask(&clusterpb.Task{Id: "b", ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{}}),
		state.AssignTask("a", "n1", nil), taskIs("a", lifecycle.Running), state.AssignTask("b", "n2", nil),
	)
	tests := map[string]struct{ reports, want string }{
		"each its own":                     {"n1/a:failed n2/b:ready", "a:failed b:ready"},
		"the newest counts":                {"n2/b:accepted n2/b:running n2/b:ready", "b:running"},
		"an end is kept":                   {"n1/a:complete n1/a:failed", "a:complete"},
		"behind what is known":             {"n1/a:starting", ""},
		"that its node is lost":            {"n1/a:orphaned n2/b:remove", ""},
		"of a task that is gone":           {"n1/z:running", ""},
		"another's task":                   {"n2/a:failed", ""},
		"another's task hides no report":   {"n1/b:failed n2/b:preparing", "b:preparing"},
		"nor does it when it comes second": {"n2/b:preparing n1/b:failed", "b:preparing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q := newStatusQueue()
			for i, r := range strings.Fields(tt.reports) {
				nodeID, rest, _ := strings.Cut(r, "/")
				id, text, _ := strings.Cut(rest, ":")
				observed, ok := lifecycle.Parse(text)
				if !ok {
					t.Fatalf("no state %q", text)
				}
				q.put(st, newSession(nodeID, daemon{}), uint64(i), []*dispatchpb.TaskReport{{TaskId: id, Status: &clusterpb.TaskStatus{State: observed}}})
			}
			if n := len(q.tasks); n > 2 {
				t.Errorf("%d reports wait, of 2 tasks", n)
			}
			var got []string
			for _, c := range q.take(st, time.Now()).changes {
				o := c.GetObserveTask()
				got = append(got, o.GetId()+":"+lifecycle.Name(o.GetStatus().GetState()))
			}
			slices.Sort(got)
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("written down: %q, want %q", s, tt.want)
			}
			if again := q.take(st, time.Now()).changes; len(again) != 0 {
				t.Errorf("taken twice: %v", again)
			}
		})
	}
}

// TestReportsOfNoTask: what a node makes up takes no memory while a commit waits
// for a disk, however much of it there is.
func TestReportsOfNoTask(t *testing.T) {
	q, st := newStatusQueue(), stateOf(t)
	s := newSession("n1", daemon{})
	for i := range 10_000 {
		q.put(st, s, uint64(i), []*dispatchpb.TaskReport{{TaskId: fmt.Sprint("none", i), Status: &clusterpb.TaskStatus{State: lifecycle.Failed}}})
		q.putNode(images("n1", nil))
	}
	if len(q.tasks) != 0 || len(q.nodes) != 1 || len(q.upTo) != 1 {
		t.Errorf("%d reports, news of %d nodes and of %d sessions wait", len(q.tasks), len(q.nodes), len(q.upTo))
	}
}

// stateOf returns a state with nodes n1 and n2 and what changes make.
func stateOf(t *testing.T, changes ...*raftpb.Change) *state.State {
	t.Helper()
	for _, id := range []string{"n2", "n1"} {
		n := &raftpb.PutNode{Id: id, Spec: &clusterpb.NodeSpec{}, Role: clusterpb.NodeRole_NODE_ROLE_WORKER}
		changes = slices.Insert(changes, 0, state.PutNode(n))
	}
	st, out := state.NewState().Apply(1, &raftpb.Command{ProposedAt: timestamppb.New(time.Unix(1000, 0)), Changes: changes})
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	return st
}

func taskIs(id string, s clusterpb.TaskState) *raftpb.Change {
	return state.ObserveTask(id, &clusterpb.TaskStatus{State: s})
}

func TestBatches(t *testing.T) {
	small := taskIs("a", lifecycle.Running)
	big := state.ObserveTask("a", &clusterpb.TaskStatus{State: lifecycle.Running, Message: strings.Repeat("x", maxBatchBytes/2+1)})
	tests := map[string]struct {
		changes []*raftpb.Change
		want    string
	}{
		"none":                {nil, "[]"},
		"by number":           {slices.Repeat([]*raftpb.Change{small}, 2*maxBatch+1), "[500 500 1]"},
		"by size":             {[]*raftpb.Change{big, big, small}, "[1 2]"},
		"one too big is sent": {[]*raftpb.Change{state.ObserveTask("a", &clusterpb.TaskStatus{Message: strings.Repeat("x", 2*maxBatchBytes)})}, "[1]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sizes := []int{}
			for _, b := range batches(tt.changes) {
				sizes = append(sizes, len(b))
			}
			if got := fmt.Sprint(sizes); got != tt.want {
				t.Errorf("batches of %s, want %s", got, tt.want)
			}
		})
	}
}
