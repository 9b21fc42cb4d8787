package slot

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/proto/spec"
)

// TemplateFor is the template of a task that replaces the newest of s for any
// other reason than the rollout itself.
//
// Only the rollout brings the new spec, at its pace: until it has taken a slot,
// and while all it has there is a canary, the slot keeps the spec that it serves
// with, or had. (Swarm uses the present spec here.) A slot that serves nothing
// during a rollback gets the spec that this leads to, which was proved before.
func TemplateFor(svc *clusterpb.Service, s Slot) Template {
	state := svc.GetUpdate().GetState()
	if rollout.IsOver(state) || rollout.HasBegun(svc, s.Number) && !rollout.IsAtCanaries(svc) {
		return Current(svc)
	}
	own := s.WithoutCanaries()
	// What serves says which spec that is: a task of an abandoned rollout may be newer.
	if serving := own.Serving(); serving != nil {
		return of(svc, serving)
	}
	if rollout.IsRollback(state) && rollout.TakesSlots(state) {
		return Current(svc)
	}
	for _, old := range own.Tasks {
		if old.GetSpecVersion() != svc.GetSpecVersion() {
			return of(svc, old)
		}
	}
	return proved(svc)
}

// TemplateForNew is the template of the first task of a slot that is added to
// slots: of the spec that was proved before, until the rollout is over. A
// rollback leads to that. An update that is not held and finds no slots has
// nothing to take, and its spec is what is asked for.
func TemplateForNew(svc *clusterpb.Service, slots []Slot) Template {
	state := svc.GetUpdate().GetState()
	if rollout.IsOver(state) || rollout.IsRollback(state) || len(slots) == 0 && !rollout.IsHeld(svc) {
		return Current(svc)
	}
	return proved(svc)
}

// of is the template that the task was made from.
func of(svc *clusterpb.Service, t *clusterpb.Task) Template {
	next := Current(svc)
	if t.GetSpecVersion() == svc.GetSpecVersion() {
		return next
	}
	next.Spec, next.SpecVersion = t.GetSpec(), t.GetSpecVersion()
	next.Images, next.Restarts, next.Ports = t.GetImages(), t.GetRestarts(), t.GetPorts()
	next.ServiceLabels = t.GetServiceLabels()
	return next
}

// proved is the template of the last spec that was rolled out whole, or of the
// present one when there was none before it.
func proved(svc *clusterpb.Service) Template {
	next := Current(svc)
	r := rollout.Retreat(svc)
	if r == nil {
		return next
	}
	next.Spec, next.SpecVersion = r.GetSpec().GetTask(), r.GetSpecVersion()
	next.Images, next.Restarts, next.Ports = r.GetImages(), r.GetRestarts(), rollout.Ports(r)
	next.ServiceLabels = nil
	if spec.NamesLabels(next.Spec) {
		next.ServiceLabels = r.GetSpec().GetLabels()
	}
	return next
}
