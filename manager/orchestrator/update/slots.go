package update

import (
	"slices"

	"github.com/muster/muster/manager/orchestrator/restart"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/rollout"
)

// outdated returns the tasks of the slot that are to run and are out of date.
func (p *planner) outdated(s slot.Slot) (out []*clusterpb.Task) {
	for _, t := range s.Wanted() {
		if p.dates.OutOfDate(t) {
			out = append(out, t)
		}
	}
	return out
}

// present returns the slot's task that is to run and is up to date, the
// serving one if there are two, or nil.
func (p *planner) present(s slot.Slot) (found *clusterpb.Task) {
	for _, t := range s.Wanted() {
		if !p.dates.OutOfDate(t) && (found == nil || lifecycle.Serving(t)) {
			found = t
		}
	}
	return found
}

// dirty reports whether the slot has anything out of date: a task that is to
// run, or, when it was given up, the task it was given up with.
func (p *planner) dirty(s slot.Slot) bool {
	if len(s.Wanted()) == 0 {
		own := s.WithoutCanaries()
		return p.givenUp(s) && p.dates.OutOfDate(own.Newest())
	}
	return len(p.outdated(s)) > 0
}

// givenUp reports whether the slot's last task is not to be restarted. Its
// canaries are no sign of that: they only ran beside it.
func (p *planner) givenUp(s slot.Slot) bool {
	s = s.WithoutCanaries()
	return len(s.Tasks) > 0 && lifecycle.EndedByItself(s.Newest().GetStatus().GetState()) && !restart.Decide(slot.TemplateFor(p.svc, s), s).Again
}

// unproven reports whether the slot was brought to the new spec without being
// taken by the rollout, and does not serve: a new slot of a service that had
// none, or one whose failure the user forgave, also if it is not restarted by
// itself. It is watched like one that was taken.
func (p *planner) unproven(s slot.Slot) bool {
	t := p.present(s)
	if own := s.WithoutCanaries(); t == nil && len(s.Wanted()) == 0 && p.givenUp(s) {
		t = own.Newest()
	}
	return t != nil && t.GetSpecVersion() == p.svc.GetSpecVersion() && !lifecycle.Serving(t)
}

// waiting returns the slots that are still to be taken: those that serve
// nothing first, since taking them costs nothing.
func (p *planner) waiting() (out []slot.Slot) {
	var serving []slot.Slot
	for _, s := range p.slots {
		switch {
		case rollout.Progress(p.status, s.Number) != nil || !p.dirty(s) && !p.unproven(s):
		case s.Serving() != nil:
			serving = append(serving, s)
		default:
			out = append(out, s)
		}
	}
	return append(out, serving...)
}

// canarying reports whether the rollout is at its canaries.
func (p *planner) canarying() bool { return rollout.IsAtCanaries(p.next()) }

// blueGreen reports whether its canaries are all that the rollout changes.
func (p *planner) blueGreen() bool { return rollout.IsBlueGreen(p.next()) }

// next is what rules about a service's rollout look at, with the progress that
// this step made.
func (p *planner) next() *clusterpb.Service {
	return &clusterpb.Service{Spec: p.svc.GetSpec(), Update: p.status}
}

// hasCanaries reports whether any task that is to run is not promoted.
func (p *planner) hasCanaries() bool {
	return slices.ContainsFunc(p.slots, func(s slot.Slot) bool {
		return slices.ContainsFunc(s.Wanted(), func(t *clusterpb.Task) bool {
			return t.GetCanary() && t.GetSpecVersion() == p.svc.GetSpecVersion()
		})
	})
}
