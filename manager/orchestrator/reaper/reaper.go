package reaper

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/control"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// orphanAfter is how long a node may be down before its tasks are given up.
const orphanAfter = 24 * time.Hour

// Controller returns the reaper. Its keys are services.
func Controller() *control.Controller {
	return &control.Controller{
		Name:   "reaper",
		Keys:   control.ServiceKeys,
		KeysOf: keysOf,
		Plan: func(s *state.State, id string, now time.Time) ([]*raftpb.Change, time.Duration) {
			r := reaper{limit: limit(s.Cluster()), nodes: s.Node, now: now}
			var again time.Duration
			var changes []*raftpb.Change
			for t := range s.TasksOf(id) {
				change, wait := r.end(t)
				if change != nil {
					changes = append(changes, change)
				}
				if wait > 0 && (again == 0 || wait < again) {
					again = wait
				}
			}
			for _, sl := range slot.Group(s.TasksOf(id)) {
				changes = append(changes, r.forget(sl)...)
			}
			return changes, again
		},
	}
}

func keysOf(s *state.State, ref state.Ref) []string {
	if ref.Kind == state.KindCluster { // the limit may have changed
		return control.ServiceKeys(s)
	}
	return control.ServicesOf(s, ref)
}

// limit is how many tasks a slot keeps; negative is all.
func limit(c *clusterpb.Cluster) int {
	kept := int(spec.HistoryLimit(c.GetSpec()))
	if kept < 0 {
		return kept
	}
	return max(kept, 1)
}

type reaper struct {
	limit int
	nodes slot.Nodes
	now   time.Time
}

// end returns the change that brings a task to its end, if nobody else will,
// or how long until that may be due.
func (r reaper) end(t *clusterpb.Task) (*raftpb.Change, time.Duration) {
	stopped := slot.Stopped(t, r.nodes)
	if t.GetDesired() >= lifecycle.Remove {
		if stopped {
			// Should its node come back, the full set of assignments, which
			// lacks the task, tells it to stop the task.
			return state.DeleteTask(t.GetId()), 0
		}
		return nil, 0
	}
	if !stopped || lifecycle.Ended(t.GetStatus().GetState()) {
		return nil, 0
	}
	if t.GetNodeId() == "" {
		if t.GetDesired() >= lifecycle.Shutdown {
			return r.observe(t, lifecycle.Shutdown, ""), 0
		}
		return nil, 0
	}
	n, ok := r.nodes(t.GetNodeId())
	if !ok {
		return r.observe(t, lifecycle.Orphaned, "its node was removed"), 0
	}
	if left := n.GetStatus().GetSince().AsTime().Add(orphanAfter).Sub(r.now); left > 0 {
		return nil, left
	}
	return r.observe(t, lifecycle.Orphaned, "its node was down for "+orphanAfter.String()), 0
}

func (r reaper) observe(t *clusterpb.Task, to clusterpb.TaskState, err string) *raftpb.Change {
	status := proto.CloneOf(t.GetStatus())
	if status == nil {
		status = new(clusterpb.TaskStatus)
	}
	status.State, status.Message, status.Err, status.At = to, "", err, timestamppb.New(r.now)
	return state.ObserveTask(t.GetId(), status)
}

// forget deletes the tasks of a slot that are beyond the limit and ended.
func (r reaper) forget(s slot.Slot) (changes []*raftpb.Change) {
	if r.limit < 0 {
		return nil
	}
	for i, t := range s.Tasks {
		if i >= r.limit && lifecycle.Ended(t.GetStatus().GetState()) {
			changes = append(changes, state.DeleteTask(t.GetId()))
		}
	}
	return changes
}
