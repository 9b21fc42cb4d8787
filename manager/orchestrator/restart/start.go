package restart

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/manager/control"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// Controller starts held tasks when their time has come. Its keys are services.
func Controller() *control.Controller {
	return &control.Controller{
		Name:   "start",
		Keys:   control.ServiceKeys,
		KeysOf: control.ServicesOf,
		Plan: func(s *state.State, id string, now time.Time) ([]*raftpb.Change, time.Duration) {
			var changes []*raftpb.Change
			var again time.Duration
			for t := range s.TasksOf(id) {
				change, wait := start(t, s, now)
				if change != nil {
					changes = append(changes, change)
				}
				if wait > 0 && (again == 0 || wait < again) {
					again = wait
				}
			}
			return changes, again
		},
	}
}

// lookup is what start looks up.
type lookup interface {
	Task(id string) (*clusterpb.Task, bool)
	Node(id string) (*clusterpb.Node, bool)
}

// start returns the change that a held task is due for, or how long its delay
// still lasts.
func start(t *clusterpb.Task, s lookup, now time.Time) (*raftpb.Change, time.Duration) {
	waits := t.GetDesired() == lifecycle.Ready || t.GetDesired() == lifecycle.Pending
	if !waits || lifecycle.Ended(t.GetStatus().GetState()) {
		return nil, 0
	}
	if wait := t.GetStartAfter().AsTime().Sub(now); t.GetStartAfter() != nil && wait > 0 {
		return explain(t), wait
	}
	if t.GetHold() {
		if old, ok := s.Task(t.GetPredecessor()); ok && !slot.Stopped(old, s.Node) {
			return nil, 0 // the change of its state or of its node's brings us back
		}
	}
	return slot.Desire(t, lifecycle.Running, ""), 0
}

// explain repeats in the status of a prepared task what it waits for, since
// the worker's own reports replaced what its creation said.
func explain(t *clusterpb.Task) *raftpb.Change {
	if t.GetStatus().GetState() != lifecycle.Ready || t.GetDesiredReason() == "" || t.GetStatus().GetErr() != "" {
		return nil
	}
	status := proto.CloneOf(t.GetStatus())
	status.Err = t.GetDesiredReason()
	return state.ObserveTask(t.GetId(), status)
}
