package update

import (
	"fmt"
	"slices"

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
	waits := rollout.AwaitsPromotion(p.status.GetState())
	switch {
	case !p.canarying():
		if waits {
			p.status = rollout.Proceed(p.status)
		}
		if p.hasCanaries() { // the user asks for none any more
			p.status = rollout.Approve(p.status)
		}
	case !p.canariesProved():
		if waits { // one was lost with its node, or scaling asks for more
			p.status = rollout.Reconsider(p.status)
		}
	case p.cfg.GetPromote() == clusterpb.UpdateConfig_PROMOTE_AUTO:
		p.status = rollout.Approve(p.status)
	case !waits:
		text := fmt.Sprintf("%d canaries run and wait to be promoted", len(p.status.GetProgress()))
		if p.blueGreen() {
			text += "; no connections go to them before"
		}
		p.status = rollout.Await(p.status, text)
	}
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
