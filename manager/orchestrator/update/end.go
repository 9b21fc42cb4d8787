package update

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/id"
)

// tooManyFailures reports whether the failed slots are more than the
// configured ratio of those to change; of canaries, of the canaries.
func (p *planner) tooManyFailures() bool {
	failed, of := p.failed(), p.status.GetSlots()
	if p.canarying() {
		of = uint32(len(p.status.GetProgress()))
	} else if p.cfg.GetFailureAction() == clusterpb.UpdateConfig_FAILURE_ACTION_CONTINUE {
		return false
	}
	return failed > 0 && float64(failed)/float64(max(of, 1)) > p.cfg.GetMaxFailureRatio()
}

func (p *planner) failed() (n int) {
	for _, e := range p.status.GetProgress() {
		if e.GetFailed() {
			n++
		}
	}
	return n
}

// giveUp does what is configured for a failed update. Canaries are always
// taken back; a rollback never rolls back.
func (p *planner) giveUp() {
	why := p.firstFailure()
	back := p.earlier()
	wanted := p.canarying() || p.cfg.GetFailureAction() == clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK
	if wanted && !p.rollback() {
		if back != nil {
			p.back = back
			p.status = &clusterpb.UpdateStatus{
				State: rollbackStarted, StartedAt: timestamppb.New(p.now),
				Message: "rolled back: " + why, Version: p.status.GetVersion(),
			}
			return
		}
		why += "; there is no earlier spec to roll back to"
	}
	p.status.PausedFrom = p.status.GetState()
	if p.rollback() {
		p.status.State, p.status.Message = rollbackPaused, "rollback paused: "+why
		return
	}
	p.status.State, p.status.Message = paused, "update paused: "+why
}

func (p *planner) firstFailure() string {
	for _, e := range p.status.GetProgress() {
		if e.GetFailed() && e.GetTaskId() != "" {
			return fmt.Sprintf("task %s of slot %d: %s", id.Short(e.GetTaskId()), e.GetSlot(), e.GetErr())
		}
		if e.GetFailed() {
			return fmt.Sprintf("slot %d: %s", e.GetSlot(), e.GetErr())
		}
	}
	return "too many failures"
}

// earlier returns the spec that a failed update goes back to: the last one
// that was rolled out whole, or else the last other one. The number of
// replicas stays when it was changed after the update began.
func (p *planner) earlier() *clusterpb.ServiceSpec {
	var found *clusterpb.SpecRecord
	began := p.svc.GetSpec() // the first spec of this update
	for _, r := range slices.Backward(p.svc.GetHistory()) {
		if r.GetSpecVersion() == p.svc.GetSpecVersion() {
			began = r.GetSpec()
			continue
		}
		if found == nil {
			found = r
		}
		if whole(r.GetOutcome()) {
			found = r
			break
		}
	}
	if found == nil {
		return nil
	}
	back := proto.CloneOf(found.GetSpec())
	if now := p.svc.GetSpec(); !proto.Equal(began.GetReplicated(), now.GetReplicated()) {
		back.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: now.GetReplicated()}
	}
	return back
}

func whole(outcome clusterpb.UpdateStatus_State) bool {
	switch outcome {
	case completed, rollbackCompleted, clusterpb.UpdateStatus_STATE_UNSPECIFIED: // the first one never was an update
		return true
	case updating, paused, rollbackStarted, rollbackPaused, waitingForApproval:
	}
	return false
}

// complete ends the rollout when it is over.
func (p *planner) complete() {
	if !p.over() {
		return
	}
	p.status.CompletedAt = timestamppb.New(p.now)
	text := "update completed"
	p.status.State = completed
	if p.svc.GetUpdate().GetState() == rollbackStarted {
		p.status.State, text = rollbackCompleted, "rollback completed"
	}
	if n := p.failed(); n > 0 {
		text += fmt.Sprintf(", %d of %d slots failed", n, max(int(p.status.GetSlots()), n))
	}
	p.status.Message = text
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
		released := p.progress(s.Number).GetFailed() || len(p.outdated(s)) == 0
		if !released || len(s.Wanted()) == 0 && !p.givenUp(s) {
			return false
		}
	}
	return true
}
