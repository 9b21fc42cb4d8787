package restart

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/control/controltest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/raftstore/state"
)

func TestStart(t *testing.T) {
	const delay = 30 * time.Second
	tests := map[string]struct {
		wait bool   // has a start_after
		hold bool   // waits for its predecessor
		old  string // the predecessor's state, "" when it is gone
		node string // the predecessor's
		want bool
	}{
		"nothing to wait for":              {want: true},
		"the delay":                        {wait: true, want: false},
		"the predecessor runs":             {hold: true, old: "running", node: "a", want: false},
		"without hold it may":              {old: "running", node: "a", want: true},
		"the predecessor ended":            {hold: true, old: "shutdown", node: "a", want: true},
		"its node is down":                 {hold: true, old: "running", node: "down", want: true},
		"its node is gone":                 {hold: true, old: "running", node: "gone", want: true},
		"it never had a node":              {hold: true, old: "pending", want: true},
		"it is gone":                       {hold: true, want: true},
		"ended, but the delay is not over": {wait: true, hold: true, old: "failed", node: "a", want: false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := controltest.New(t)
			w.AddNode("a")
			w.AddNode("down", func(n *clusterpb.Node) { n.Status.State = clusterpb.NodeStatus_STATE_DOWN })
			next := &clusterpb.Task{Id: "next", ServiceId: "web", Desired: lifecycle.Ready, Predecessor: "old", Hold: tt.hold, DesiredReason: "restarting"}
			if tt.wait {
				next.StartAfter = timestamppb.New(w.Now.Add(delay))
			}
			w.Apply(state.CreateTask(next))
			if observed, ok := lifecycle.Parse(tt.old); ok {
				w.Apply(state.CreateTask(&clusterpb.Task{
					Id: "old", ServiceId: "web", NodeId: tt.node, Desired: lifecycle.Shutdown, Status: &clusterpb.TaskStatus{State: observed},
				}))
			}
			w.Turn(Controller())
			got, _ := w.State.Task("next")
			if started := got.GetDesired() == lifecycle.Running; started != tt.want {
				t.Errorf("started: %v, want %v", started, tt.want)
			}
			if w.Turn(Controller()) {
				t.Error("a second look changed something")
			}
			if !tt.wait {
				return
			}
			due, ok := w.Due()
			if !ok || !due.Equal(w.Now.Add(delay)) {
				t.Fatalf("due at %v, %v, want in %s", due, ok, delay)
			}
			w.Now = due
			w.Turn(Controller())
			if got, _ = w.State.Task("next"); got.GetDesired() != lifecycle.Running {
				t.Error("not started when its delay was over")
			}
		})
	}
}

// A worker's own reports replace what the creation said; the reason comes back
// once the task is prepared, and is written once.
func TestPreparedTaskSaysWhatItWaitsFor(t *testing.T) {
	w := controltest.New(t)
	w.AddNode("a")
	w.Apply(state.CreateTask(&clusterpb.Task{
		Id: "t", ServiceId: "web", NodeId: "a", Desired: lifecycle.Ready, DesiredReason: "exit status 1 (restarts after 30s)",
		StartAfter: timestamppb.New(w.Now.Add(30 * time.Second)),
	}))
	task, _ := w.State.Task("t")
	w.Observe(task, lifecycle.Ready)
	w.Turn(Controller())
	if task, _ = w.State.Task("t"); task.GetStatus().GetErr() != "exit status 1 (restarts after 30s)" {
		t.Errorf("says %q", task.GetStatus().GetErr())
	}
	if w.Turn(Controller()) {
		t.Error("the reason was written again")
	}
}
