package enforce

import (
	"slices"
	"time"

	"github.com/muster/muster/manager/control"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/raftstore/state"
)

// Controller returns the enforcer. Its keys are nodes; id names new tasks.
func Controller(id func() string) *control.Controller {
	return &control.Controller{
		Name:   "enforce",
		Keys:   nodeIDs,
		KeysOf: keysOf,
		Plan: func(s *state.State, key string, now time.Time) ([]*raftpb.Change, time.Duration) {
			n, ok := s.Node(key)
			if !ok || !active(n) {
				return nil, 0
			}
			e := enforcer{state: s, node: n, id: id, now: now, slots: make(map[string]map[uint32]slot.Slot)}
			return e.plan(), 0
		},
	}
}

func nodeIDs(s *state.State) (ids []string) {
	for n := range s.Nodes() {
		ids = append(ids, n.GetId())
	}
	return ids
}

// keysOf looks at a node when it changed, and when a task came to it: the
// scheduler may have chosen it before it changed.
func keysOf(s *state.State, ref state.Ref) []string {
	switch ref.Kind {
	case state.KindNode:
		return []string{ref.ID}
	case state.KindTask:
		if t, ok := s.Task(ref.ID); ok && t.GetStatus().GetState() == lifecycle.Assigned {
			return []string{t.GetNodeId()}
		}
	default: // tells nothing about nodes and their tasks
	}
	return nil
}

// active nodes only: a paused one keeps what it has, a drained one is emptied anyway.
func active(n *clusterpb.Node) bool {
	a := n.GetSpec().GetAvailability()
	return a == clusterpb.NodeSpec_AVAILABILITY_ACTIVE || a == clusterpb.NodeSpec_AVAILABILITY_UNSPECIFIED
}

// enforcer looks at one node.
type enforcer struct {
	state *state.State
	node  *clusterpb.Node
	id    func() string
	now   time.Time
	// slots are those of the services that a task was taken of, grouped once.
	slots map[string]map[uint32]slot.Slot
}

func (e enforcer) plan() (changes []*raftpb.Change) {
	var stay []*clusterpb.Task
	for t := range e.state.TasksOn(e.node.GetId()) {
		svc, ok := e.state.Service(t.GetServiceId())
		switch {
		case !ok || !lifecycle.Wanted(t):
		case e.offends(t, svc):
			changes = append(changes, e.evict(t, svc, "its node no longer meets its constraints")...)
		default:
			stay = append(stay, t)
		}
	}
	for _, t := range tooMuch(stay, e.node.GetDescription().GetResources()) {
		svc, _ := e.state.Service(t.GetServiceId())
		changes = append(changes, e.evict(t, svc, "its node no longer has the resources it reserves")...)
	}
	return changes
}

// offends reports whether the node broke the task's placement. A task that
// only offends against the present constraints is out of date: while a rollout
// is under way that will replace it in its turn.
func (e enforcer) offends(t *clusterpb.Task, svc *clusterpb.Service) bool {
	if slot.Fits(svc.GetSpec().GetTask().GetPlacement(), svc.GetImages(), e.node) {
		return false
	}
	return rollout.IsOver(svc.GetUpdate().GetState()) || !slot.Fits(t.GetSpec().GetPlacement(), t.GetImages(), e.node)
}

// tooMuch picks the tasks, the newest first, without which the others'
// reservations fit into what the node has.
func tooMuch(tasks []*clusterpb.Task, have *clusterpb.Resources) (gone []*clusterpb.Task) {
	if have == nil {
		return nil // the node has not told yet
	}
	var cpus, memory int64
	for _, t := range tasks {
		cpus += t.GetSpec().GetReservations().GetNanoCpus()
		memory += t.GetSpec().GetReservations().GetMemoryBytes()
	}
	for _, t := range slices.SortedFunc(slices.Values(tasks), lifecycle.NewestFirst) {
		r := t.GetSpec().GetReservations()
		relieves := cpus > have.GetNanoCpus() && r.GetNanoCpus() > 0 || memory > have.GetMemoryBytes() && r.GetMemoryBytes() > 0
		if relieves {
			cpus -= r.GetNanoCpus()
			memory -= r.GetMemoryBytes()
			gone = append(gone, t)
		}
	}
	return gone
}

// evict stops a task and, unless its slot has another one, replaces it at once.
func (e enforcer) evict(t *clusterpb.Task, svc *clusterpb.Service, reason string) []*raftpb.Change {
	changes := []*raftpb.Change{slot.Desire(t, lifecycle.Shutdown, reason)}
	s, ok := e.slot(svc.GetId(), t.GetSlot())
	if !ok || len(s.Wanted()) > 1 {
		return changes
	}
	next := slot.TemplateFor(svc, s).Successor(e.id(), s, t, e.now)
	return append(changes, state.CreateTask(slot.HoldBack(next)))
}

// slot returns a slot of a service, if it has one of that number.
func (e enforcer) slot(service string, number uint32) (slot.Slot, bool) {
	byNumber, ok := e.slots[service]
	if !ok {
		byNumber = make(map[uint32]slot.Slot)
		for _, s := range slot.Group(e.state.TasksOf(service)) {
			byNumber[s.Number] = s
		}
		e.slots[service] = byNumber
	}
	s, ok := byNumber[number]
	return s, ok
}
