package dispatcher

import (
	"github.com/muster/muster/dispatcher/lease"
	"github.com/muster/muster/dispatcher/plan"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// due is why a session should look at the newest plan: its node's tasks or
// what all nodes share may be others, or tasks on it wait for the low-water
// mark that was reached.
type due struct{ tasks, shared, lowWater bool }

// sendAssignments sends what changed since base, which is nil at first, and
// returns the new base.
func (t *term) sendAssignments(str stream, s *session, base *plan.Set) (*plan.Set, error) {
	d := s.takeDue()
	if d == (due{}) {
		return base, nil
	}
	next := t.nextSet(s.nodeID, base, d)
	a, changed := message(base, next)
	a.LowWaterMark, _ = t.nodes.currentLowWaterMark()
	send := s.decide(a, next.Leaving(), changed, d.lowWater)
	// The node is now known to be where the plan is, or to be on its way there:
	// the low-water mark may rise.
	wake(t.nodes.lowWaterDue)
	if !send {
		return next.At(base.Index()), nil
	}
	return next, str.Send(&dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Assignments{Assignments: a}})
}

// nextSet returns what the node should be by the newest plan, at no more work
// than what is due needs.
func (t *term) nextSet(nodeID string, base *plan.Set, d due) *plan.Set {
	p := t.plan.Load()
	switch {
	case base == nil || d.tasks:
		return p.Set(nodeID)
	case d.shared:
		return p.Refresh(base)
	}
	return base
}

// message returns what leads from base to next, and whether that is anything.
func message(base, next *plan.Set) (a *dispatchpb.Assignments, changed bool) {
	if base == nil {
		return next.Full(), true
	}
	return next.Since(base)
}

// takeDue returns what is due, and counts it as being worked on.
func (s *session) takeDue() due {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.due
	s.due, s.working = due{}, d != due{}
	return d
}

// decide ends the work on what was due and says whether a has to be sent:
// something in it changed, or it brings a low-water mark that is waited for by
// one of the tasks that leave the mesh.
func (s *session) decide(a *dispatchpb.Assignments, leaving []uint64, changed, lowWaterDue bool) (send bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaited, s.working = leaving, false
	if !changed && (!lowWaterDue || !lease.Owes(leaving, s.lowWaterSent, a.GetLowWaterMark())) {
		return false
	}
	s.sent, s.lowWaterSent = a.GetIndex(), max(s.lowWaterSent, a.GetLowWaterMark())
	return true
}
