package replicated

import (
	"slices"
	"time"

	"github.com/muster/muster/manager/control"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// Controller returns the orchestrator. Its keys are services; id names new tasks.
func Controller(id func() string) *control.Controller {
	return &control.Controller{
		Name:   "replicated",
		Keys:   control.ServiceKeys,
		KeysOf: control.ServicesOf,
		Plan: func(s *state.State, key string, now time.Time) ([]*raftpb.Change, time.Duration) {
			svc, ok := s.Service(key)
			if !ok {
				return removeAll(slices.Collect(s.TasksOf(key)), "its service was removed"), 0
			}
			p := planner{svc: svc, nodes: s.Node, dates: slot.NewDates(svc, s.Node), id: id, now: now}
			return p.plan(slices.Collect(s.TasksOf(key))), 0
		},
	}
}

// planner holds what a plan for one service looks at.
type planner struct {
	svc   *clusterpb.Service
	nodes slot.Nodes
	dates *slot.Dates
	id    func() string
	now   time.Time
}

// plan returns the changes that give the service as many slots as it asks
// for, each with one task that is to run.
func (p planner) plan(tasks []*clusterpb.Task) (changes []*raftpb.Change) {
	replicas := p.svc.GetSpec().GetReplicated().GetReplicas()
	slots := slot.Group(slices.Values(tasks))
	taken := make(map[uint32]bool)
	for _, s := range slots {
		taken[s.Number] = true
	}
	gone := make(map[uint32]bool)
	for _, s := range slot.Surplus(slots, replicas) {
		gone[s.Number] = true
		changes = append(changes, removeAll(s.Tasks, "its service was scaled down")...)
	}
	for _, s := range slots {
		if !gone[s.Number] {
			changes = append(changes, retire(s, p.settle(s))...)
		}
	}
	missing := int(replicas) - len(slots)
	next := slot.TemplateForNew(p.svc, slots)
	for n := uint32(1); missing > 0; n++ {
		if !taken[n] {
			changes = append(changes, state.CreateTask(next.Task(p.id(), n, nil, p.now)))
			missing--
		}
	}
	return changes
}

// removeAll sends tasks away for good, ended ones too, so that the reaper deletes them.
func removeAll(tasks []*clusterpb.Task, reason string) (changes []*raftpb.Change) {
	for _, t := range tasks {
		if lifecycle.Raises(t.GetDesired(), lifecycle.Remove) {
			changes = append(changes, slot.Desire(t, lifecycle.Remove, reason))
		}
	}
	return changes
}
