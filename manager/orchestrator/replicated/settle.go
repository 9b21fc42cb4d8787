package replicated

import (
	"slices"

	"github.com/muster/muster/manager/orchestrator/restart"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// settle returns the changes that leave the slot with one task that is to run
// on a node that can run it, or two during a rollout.
func (p planner) settle(s slot.Slot) (changes []*raftpb.Change) {
	var placed, leaving []*clusterpb.Task
	for _, t := range s.Wanted() {
		switch lost := slot.Lost(t, p.nodes); {
		case lost != "":
			// Asked to stop, so that it is stopped should the node come back.
			changes = append(changes, slot.Desire(t, lifecycle.Shutdown, lost))
		case t.GetCanary() && slot.Drained(t, p.nodes) != "":
			changes = append(changes, slot.Desire(t, lifecycle.Shutdown, slot.Drained(t, p.nodes)))
		case t.GetCanary():
			// Runs beside the slot's own task; package update looks after it.
		case slot.Drained(t, p.nodes) != "":
			leaving = append(leaving, t)
		default:
			placed = append(placed, t)
		}
	}
	placed, extra := p.best(placed)
	changes = append(changes, extra...)
	if len(placed) > 0 {
		return append(changes, p.letGo(leaving, placed)...)
	}
	own := s.WithoutCanaries()
	if len(own.Tasks) == 0 { // what it had is forgotten
		if len(s.Wanted()) > 0 {
			return changes
		}
		own = s
	}
	return append(changes, p.refill(own, leaving)...)
}

// retire asks no more for what ended and has been followed, whoever made the
// follower: who asks what is to run is not shown it, as in Docker. A newest task
// that changes do not follow is left to the restart policy, which says why.
func retire(s slot.Slot, changes []*raftpb.Change) []*raftpb.Change {
	followed := slices.ContainsFunc(changes, func(c *raftpb.Change) bool { return c.GetCreateTask() != nil })
	newest := []*clusterpb.Task{s.Newest()}
	if own := s.WithoutCanaries(); len(own.Tasks) > 0 {
		newest = append(newest, own.Newest())
	}
	for _, t := range s.Tasks {
		left := !followed && slices.Contains(newest, t)
		if !left && t.GetDesired() < lifecycle.Shutdown && lifecycle.Ended(t.GetStatus().GetState()) {
			changes = append(changes, slot.Desire(t, lifecycle.Shutdown, ""))
		}
	}
	return changes
}

// best keeps one of the tasks that are alike and removes the others. There are
// others only after a drain was called off or a proposal was applied though it
// seemed to have failed.
func (p planner) best(tasks []*clusterpb.Task) (kept []*clusterpb.Task, changes []*raftpb.Change) {
	furthest := make(map[uint64]*clusterpb.Task)
	for _, t := range slices.Backward(tasks) { // the oldest of the equally far
		have, ok := furthest[p.version(t)]
		switch {
		case !ok:
			furthest[p.version(t)] = t
		case t.GetStatus().GetState() > have.GetStatus().GetState():
			changes = append(changes, slot.Desire(have, lifecycle.Remove, "another task has its slot"))
			furthest[p.version(t)] = t
		default:
			changes = append(changes, slot.Desire(t, lifecycle.Remove, "another task has its slot"))
		}
	}
	for _, t := range tasks {
		if furthest[p.version(t)] == t {
			kept = append(kept, t)
		}
	}
	return kept, changes
}

// version is what makes tasks alike: those that are up to date are, whichever
// spec they were made from.
func (p planner) version(t *clusterpb.Task) uint64 {
	if p.dates.OutOfDate(t) {
		return t.GetSpecVersion()
	}
	return p.svc.GetSpecVersion()
}

// letGo stops the tasks on drained nodes once another one serves, or if they
// serve nothing themselves. A machine that shuts down does not wait for one that
// has no place.
func (p planner) letGo(leaving, placed []*clusterpb.Task) (changes []*raftpb.Change) {
	serves := slices.ContainsFunc(placed, lifecycle.Serving)
	noPlace := len(placed) > 0 && !slices.ContainsFunc(placed, func(t *clusterpb.Task) bool { return !slot.Unplaceable(t) })
	for _, t := range leaving {
		if serves || !lifecycle.Serving(t) || !p.overlap() || noPlace && slot.Stopping(t, p.nodes) {
			changes = append(changes, slot.Desire(t, lifecycle.Shutdown, slot.Drained(t, p.nodes)))
		}
	}
	return changes
}

// refill gives the slot a new task. Only a task that ended by itself makes it
// wait; the loss of a node does not.
func (p planner) refill(s slot.Slot, leaving []*clusterpb.Task) []*raftpb.Change {
	next, last := slot.TemplateFor(p.svc, s), s.Newest()
	changes := p.letGo(leaving, nil)
	if lifecycle.EndedByItself(last.GetStatus().GetState()) {
		return append(changes, restart.After(next, s, p.id, p.now)...)
	}
	t := next.Successor(p.id(), s, last, p.now)
	if stays := lifecycle.Serving(last) && p.overlap(); !stays && !slot.Stopped(last, p.nodes) {
		slot.HoldBack(t)
	}
	return append(changes, state.CreateTask(t))
}

// overlap reports whether a task may be started beside the one it is to
// replace on another node. Draining moves start-first unless the service says
// stop-first in so many words or binds ports of the nodes.
func (p planner) overlap() bool {
	order := p.svc.GetSpec().GetUpdate().GetOrder()
	return order != clusterpb.UpdateConfig_ORDER_STOP_FIRST && !slot.HostPorts(p.svc.GetPorts())
}
