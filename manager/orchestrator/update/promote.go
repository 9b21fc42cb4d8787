package update

import (
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/rollout"
)

// promote moves a rollout past its canaries: they wait for approval once all
// of them have proved themselves, and are approved by the user or the policy.
//
// The state machine lets them take over in the step that records it: the new
// tasks are canaries no more and the old ones are asked to stop, so that no
// mesh ever leads to both when they are all replicas.
func (p *planner) promote() {
	switch {
	case !p.canarying():
		p.status = proceed(p.status, p.hasCanaries())
	case untried(p.svc, p.slots, p.dates):
		p.status = await(p.status, "it has no replicas: canaries start once it is scaled up")
	case !p.canariesProved():
		if rollout.AwaitsPromotion(p.status.GetState()) { // one was lost with its node, or scaling asks for more
			p.status = rollout.Reconsider(p.status)
		}
	case p.cfg.GetPromote() == clusterpb.UpdateConfig_PROMOTE_AUTO:
		p.status = rollout.Approve(p.status)
	default:
		text := "1 canary runs and waits to be promoted"
		if n := len(p.status.GetProgress()); n > 1 {
			text = fmt.Sprintf("%d canaries run and wait to be promoted", n)
		}
		if p.blueGreen() {
			text += "; no connections go to them before"
		}
		p.status = await(p.status, text)
	}
}

// proceed goes on with a rollout that has no canaries, or is to have none any more.
func proceed(u *clusterpb.UpdateStatus, canaries bool) *clusterpb.UpdateStatus {
	if rollout.AwaitsPromotion(u.GetState()) {
		if u.GetPromoted() {
			u = rollout.Proceed(u)
		} else {
			u = rollout.Reconsider(u)
		}
	}
	if canaries {
		u = rollout.Approve(u)
	}
	return u
}

// await says what the canaries wait for, as it is now.
func await(u *clusterpb.UpdateStatus, text string) *clusterpb.UpdateStatus {
	if rollout.AwaitsPromotion(u.GetState()) && u.GetMessage() == text {
		return u
	}
	return rollout.Await(u, text)
}

// untried reports whether there is nothing that canaries could run beside, as
// the service has no replicas, though the spec would change them if it had.
func untried(svc *clusterpb.Service, slots []slot.Slot, dates *slot.Dates) bool {
	if svc.GetSpec().GetReplicated().GetReplicas() > 0 || len(slots) > 0 {
		return false
	}
	return dates.OutOfDate(slot.TemplateForNew(svc, slots).Task("", 0, nil, time.Time{}))
}

// canariesProved reports whether all canaries are there and have served for
// long enough.
func (p *planner) canariesProved() bool {
	begun, waiting := len(p.status.GetProgress()), len(p.waiting())
	if begun == 0 || waiting > 0 && p.room(waiting) > 0 {
		return false
	}
	return !slices.ContainsFunc(p.status.GetProgress(), func(e *clusterpb.SlotUpdate) bool { return e.GetDoneAt() == nil })
}
