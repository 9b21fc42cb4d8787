package dispatcher

import (
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// sendAssignments sends what changed since base and returns the new base.
func (r *reign) sendAssignments(str stream, s *session, base *set) (*set, error) {
	s.mu.Lock()
	tasksDue, meshDue, floorDue := s.tasksDue, s.meshDue, s.floorDue
	s.tasksDue, s.meshDue, s.floorDue = false, false, false
	s.working = tasksDue || meshDue || floorDue
	working := s.working
	s.mu.Unlock()
	if !working {
		return base, nil
	}

	p, floor := r.plan.Load(), r.currentFloor()
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
	a.Floor = floor

	s.mu.Lock()
	s.awaited = awaited(next.tasks.byID)
	if send := changed || (floorDue && owed(s.awaited, s.floorSent, floor)); !send {
		s.working = false
		s.mu.Unlock()
		// The node is now known to be at a later index: the floor may rise.
		wake(r.floorDue)
		return withIndexOf(base, next), nil
	}
	s.sent, s.floorSent, s.working = a.GetIndex(), max(s.floorSent, floor), false
	s.mu.Unlock()
	wake(r.floorDue)
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

// owed reports whether a rise of the floor from told to floor is what one of
// the awaited indexes waits for.
func owed(awaited []uint64, told, floor uint64) bool {
	return slices.ContainsFunc(awaited, func(index uint64) bool { return told < index && index <= floor })
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

func (r *reign) currentFloor() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.floor
}
