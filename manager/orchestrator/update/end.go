package update

import (
	"fmt"
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/id"
	"github.com/muster/muster/proto/rollout"
)

// tooManyFailures reports whether the failed slots are more than the
// configured ratio of those to change; of canaries, of the canaries.
func (p *planner) tooManyFailures() bool {
	failed, of := rollout.Failed(p.status), p.status.GetSlots()
	if p.canarying() {
		of = uint32(len(p.status.GetProgress()))
	} else if p.cfg.GetFailureAction() == clusterpb.UpdateConfig_FAILURE_ACTION_CONTINUE {
		return false
	}
	return failed > 0 && float64(failed)/float64(max(of, 1)) > p.cfg.GetMaxFailureRatio()
}

// giveUp does what is configured for a failed update. Canaries are always
// taken back; a rollback never rolls back.
func (p *planner) giveUp() {
	why := p.firstFailure()
	wanted := p.canarying() || p.cfg.GetFailureAction() == clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK
	if wanted && !rollout.IsRollback(p.status.GetState()) {
		if p.back = rollout.Retreat(p.svc); p.back != nil {
			p.status = rollout.TurnBack(p.status, why, p.now)
			return
		}
		why += "; there is no earlier spec to roll back to"
	}
	p.status = rollout.GiveUp(p.status, why)
}

func (p *planner) firstFailure() string {
	for _, e := range p.status.GetProgress() {
		switch {
		case !e.GetFailed() || e.GetErr() == "": // of those that failed, some have no reason, see maxReasons
		case e.GetTaskId() != "":
			return fmt.Sprintf("task %s of slot %d: %s", id.Short(e.GetTaskId()), e.GetSlot(), e.GetErr())
		default:
			return fmt.Sprintf("slot %d: %s", e.GetSlot(), e.GetErr())
		}
	}
	return "too many failures"
}

// complete ends the rollout when it is over.
func (p *planner) complete() {
	if p.over() {
		p.status = rollout.Complete(p.status, p.now)
	}
}

// over reports whether every slot is there and done, and no old task is left
// but in slots that failed.
func (p *planner) over() bool {
	unfinished := func(e *clusterpb.SlotUpdate) bool { return e.GetDoneAt() == nil }
	if slices.ContainsFunc(p.status.GetProgress(), unfinished) || len(p.waiting()) > 0 {
		return false
	}
	if len(p.slots) < int(p.svc.GetSpec().GetReplicated().GetReplicas()) {
		return false
	}
	for _, s := range p.slots {
		released := rollout.Progress(p.status, s.Number).GetFailed() || len(p.outdated(s)) == 0
		if !released || len(s.Wanted()) == 0 && !p.givenUp(s) {
			return false
		}
	}
	return true
}
