package update

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/orchestrator/restart"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// begin takes as many further slots as may be changed at a time.
func (p *planner) begin() {
	waiting := p.waiting()
	room := p.room(len(waiting))
	for _, s := range waiting[:min(room, len(waiting))] {
		p.status.Progress = append(p.status.GetProgress(), &clusterpb.SlotUpdate{Slot: s.Number, StartedAt: timestamppb.New(p.now)})
		p.changes = append(p.changes, p.replace(s)...)
	}
	rollout.Sort(p.status)
}

// room is how many slots may be taken now: all canaries at once, and
// otherwise parallelism less those that are not done or whose delay lasts.
func (p *planner) room(waiting int) int {
	switch {
	case p.canarying() && p.blueGreen():
		return waiting // also what scaling added meanwhile
	case p.canarying():
		return max(0, int(p.cfg.GetCanary())-len(p.status.GetProgress()))
	}
	limit := int(spec.Parallelism(p.cfg))
	if limit == 0 {
		return waiting
	}
	for _, e := range p.status.GetProgress() {
		if e.GetDoneAt() == nil {
			limit--
			continue
		}
		if end := e.GetDoneAt().AsTime().Add(p.cfg.GetDelay().AsDuration()); end.After(p.now) {
			if waiting > 0 {
				p.wake(end)
			}
			limit--
		}
	}
	return max(0, limit)
}

// replace gives a slot a task of the new spec, in the order that is asked for
// and possible.
func (p *planner) replace(s slot.Slot) []*raftpb.Change {
	old := p.outdated(s)
	if p.present(s) != nil {
		return nil // it has one already
	}
	next := slot.Current(p.svc)
	serving := slices.ContainsFunc(old, lifecycle.Serving)
	if p.canarying() || serving && p.startFirst() {
		t := next.Successor(p.id(), s, s.Newest(), p.now)
		t.Canary = p.canarying()
		return append(shutDown(without(old, longestServing(old))), state.CreateTask(t))
	}
	t := next.Successor(p.id(), s, s.Newest(), p.now)
	if last := p.lastToStop(s); last != nil {
		t.Predecessor = last.GetId()
		slot.HoldBack(t)
	}
	return append(shutDown(old), state.CreateTask(t))
}

// startFirst reports whether a new task may run beside the old one. Two tasks
// that bind the same port of a node never may.
func (p *planner) startFirst() bool {
	return p.cfg.GetOrder() == clusterpb.UpdateConfig_ORDER_START_FIRST && !slot.HostPorts(p.svc.GetPorts())
}

// lastToStop returns the task that the slot's next one has to wait for: of
// those that may still be running, the one that got furthest.
func (p *planner) lastToStop(s slot.Slot) (last *clusterpb.Task) {
	for _, t := range s.Tasks {
		if !slot.Stopped(t, p.nodes) && (last == nil || cmp.Compare(t.GetStatus().GetState(), last.GetStatus().GetState()) > 0) {
			last = t
		}
	}
	return last
}

// shutDown asks tasks that are out of date to stop.
func shutDown(tasks []*clusterpb.Task) (changes []*raftpb.Change) {
	for _, t := range tasks {
		changes = append(changes, slot.Desire(t, lifecycle.Shutdown, "out of date"))
	}
	return changes
}

// dismiss stops canaries of a rollout that is over: one that was taken back,
// or that another spec overtook.
func (p *planner) dismiss() {
	for _, s := range p.slots {
		for _, t := range s.Wanted() {
			if t.GetCanary() && t.GetSpecVersion() != p.svc.GetSpecVersion() {
				p.changes = append(p.changes, slot.Desire(t, lifecycle.Shutdown, "its rollout is over"))
			}
		}
	}
}

// release stops the tasks that are out of date in slots where one that is up
// to date has proved itself, unless that is a canary which is not promoted.
func (p *planner) release() {
	for _, s := range p.slots {
		t := p.present(s)
		if t == nil || !lifecycle.Serving(t) || t.GetCanary() && p.canarying() {
			continue
		}
		old := p.outdated(s)
		if len(old) > 0 && p.proved(s, t) {
			p.changes = append(p.changes, shutDown(old)...)
		}
	}
}

// proved reports whether the slot's serving task is past its trial. Until then the task
// before it stays: should the new one fall, its slot is not empty, and a
// rollback has nothing to start.
func (p *planner) proved(s slot.Slot, t *clusterpb.Task) bool {
	if e := rollout.Progress(p.status, s.Number); e.GetDoneAt() != nil && !e.GetFailed() {
		return true
	}
	if end := p.trialEnd(runningSince(t)); end.After(p.now) {
		p.wake(end)
		return false
	}
	return t.GetStatus().GetHealth().GetState() != clusterpb.HealthStatus_STATE_UNHEALTHY
}

// longestServing returns the task that has served for the longest time, or nil.
// Where a rollout was overtaken in a slot's trial there are two that serve.
func longestServing(tasks []*clusterpb.Task) (found *clusterpb.Task) {
	for _, t := range tasks {
		if lifecycle.Serving(t) && (found == nil || runningSince(t).Before(runningSince(found))) {
			found = t
		}
	}
	return found
}

// without returns the tasks other than t.
func without(tasks []*clusterpb.Task, t *clusterpb.Task) []*clusterpb.Task {
	return slices.DeleteFunc(slices.Clone(tasks), func(other *clusterpb.Task) bool { return other == t })
}

// retry goes on with slots that were begun and are served by an old task only:
// the new one failed or was lost. As the old task is there, the replicated
// orchestrator does not see them as empty.
func (p *planner) retry() {
	for _, s := range p.slots {
		if rollout.Progress(p.status, s.Number) == nil || len(p.outdated(s)) == 0 || p.present(s) != nil {
			continue
		}
		last := s.Newest()
		if last.GetSpecVersion() == p.svc.GetSpecVersion() && lifecycle.EndedByItself(last.GetStatus().GetState()) {
			for _, c := range restart.After(slot.Current(p.svc), s, p.id, p.now) {
				if t := c.GetCreateTask().GetTask(); t != nil {
					t.Canary = p.canarying()
				}
				p.changes = append(p.changes, c)
			}
			continue
		}
		p.changes = append(p.changes, p.replace(s)...)
	}
}
