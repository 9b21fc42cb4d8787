package dispatcher

import (
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// sendAssignments sends what changed since base and returns the new base.
func (t *term) sendAssignments(str stream, s *session, base *set) (*set, error) {
	s.mu.Lock()
	tasksDue, meshDue, lowWaterDue := s.tasksDue, s.meshDue, s.lowWaterDue
	s.tasksDue, s.meshDue, s.lowWaterDue = false, false, false
	s.working = tasksDue || meshDue || lowWaterDue
	working := s.working
	s.mu.Unlock()
	if !working {
		return base, nil
	}

	p, lowWater := t.plan.Load(), t.currentLowWaterMark()
	next := base
	switch {
	case base == nil || tasksDue:
		next = p.set(s.nodeID)
	case meshDue:
		next = p.refresh(base)
	}
	var a *dispatchpb.Assignments
	changed := true
	if base == nil {
		a = full(next)
	} else {
		a, changed = diff(base, next)
	}
	a.LowWaterMark = lowWater

	s.mu.Lock()
	s.awaited = awaited(next.tasks.byID)
	if send := changed || (lowWaterDue && owed(s.awaited, s.lowWaterSent, lowWater)); !send {
		s.working = false
		s.mu.Unlock()
		// The node is now known to be at a later index: the low-water mark may rise.
		wake(t.lowWaterDue)
		return withIndexOf(base, next), nil
	}
	s.sent, s.lowWaterSent, s.working = a.GetIndex(), max(s.lowWaterSent, lowWater), false
	s.mu.Unlock()
	wake(t.lowWaterDue)
	return next, str.Send(&dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Assignments{Assignments: a}})
}

// withIndexOf returns what the node holds after nothing was sent: the content
// of next, which is equal, at the index of the last message, which is what
// the next difference must name as its base.
func withIndexOf(base, next *set) *set {
	if base.index == next.index {
		return next
	}
	s := *next
	s.index = base.index
	return &s
}

// awaited returns the desired indexes of tasks that should stop and have not:
// these may wait for every node's mesh to let go of them.
func awaited(tasks map[string]*clusterpb.Task) (indexes []uint64) {
	for _, t := range tasks {
		if t.GetDesired() >= lifecycle.Shutdown && !lifecycle.Ended(t.GetStatus().GetState()) {
			indexes = append(indexes, t.GetDesiredIndex())
		}
	}
	return indexes
}

// owed reports whether a rise of the low-water mark from told to lowWater is what one of
// the awaited indexes waits for.
func owed(awaited []uint64, told, lowWater uint64) bool {
	return slices.ContainsFunc(awaited, func(index uint64) bool { return told < index && index <= lowWater })
}

// at returns the index that the node's kernel is known to hold, given that
// the session was told of everything up to index that concerns it; false
// before the node acknowledged anything in this session.
func (s *session) at(index uint64) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tasksDue && !s.meshDue && !s.working && s.sent > 0 && s.acked >= s.sent {
		return index, true
	}
	return s.acked, s.acked > 0
}

func (t *term) currentLowWaterMark() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lowWater
}
