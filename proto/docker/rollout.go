package docker

import (
	"cmp"
	"time"

	"github.com/moby/moby/api/types/swarm"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/proto/spec"
)

// UpdateConfig is how a change is rolled out. It is whole: what is unset has
// its default. Where 0 is a choice of the user's, a pointer tells it from none.
type UpdateConfig struct {
	swarm.UpdateConfig
	Parallelism      *uint64
	Monitor          *time.Duration
	ProgressDeadline *time.Duration
	Canary           uint32 `json:",omitempty"`
	Promote          string `json:",omitempty"`
}

func updateConfig(u *clusterpb.UpdateConfig) *UpdateConfig {
	parallelism, monitor, deadline := uint64(spec.Parallelism(u)), spec.Monitor(u), spec.ProgressDeadline(u)
	out := &UpdateConfig{
		UpdateConfig: swarm.UpdateConfig{
			Delay:           u.GetDelay().AsDuration(),
			FailureAction:   cmp.Or(word[swarm.FailureAction](u.GetFailureAction(), "FAILURE_ACTION_"), swarm.UpdateFailureActionPause),
			MaxFailureRatio: float32(u.GetMaxFailureRatio()),
			Order:           cmp.Or(word[swarm.UpdateOrder](u.GetOrder(), "ORDER_"), swarm.UpdateOrderStopFirst),
		},
		Parallelism:      &parallelism,
		Monitor:          &monitor,
		ProgressDeadline: &deadline,
		Canary:           u.GetCanary(),
	}
	if out.Canary > 0 {
		out.Promote = cmp.Or(word[string](u.GetPromote(), "PROMOTE_"), "manual")
	}
	return out
}

func updateStatus(u *clusterpb.UpdateStatus) *swarm.UpdateStatus {
	if rollout.HasNone(u.GetState()) {
		return nil
	}
	return &swarm.UpdateStatus{
		State:       UpdateState(u.GetState()),
		StartedAt:   at(u.GetStartedAt()),
		CompletedAt: at(u.GetCompletedAt()),
		Message:     u.GetMessage(),
	}
}

// UpdateState is the name of a rollout's state; "" when there was none. "canary"
// is muster's own.
func UpdateState(s clusterpb.UpdateStatus_State) swarm.UpdateState {
	switch s {
	case clusterpb.UpdateStatus_STATE_UPDATING:
		return swarm.UpdateStateUpdating
	case clusterpb.UpdateStatus_STATE_PAUSED:
		return swarm.UpdateStatePaused
	case clusterpb.UpdateStatus_STATE_COMPLETED:
		return swarm.UpdateStateCompleted
	case clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED:
		return swarm.UpdateStateRollbackStarted
	case clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED:
		return swarm.UpdateStateRollbackPaused
	case clusterpb.UpdateStatus_STATE_ROLLBACK_COMPLETED:
		return swarm.UpdateStateRollbackCompleted
	case clusterpb.UpdateStatus_STATE_CANARY:
		return "canary"
	case clusterpb.UpdateStatus_STATE_UNSPECIFIED:
	}
	return ""
}

// Outcome is how a rollout ended, in the words of UpdateState where that has
// one; "" when there was none.
func Outcome(o clusterpb.SpecRecord_Outcome) swarm.UpdateState {
	switch o {
	case clusterpb.SpecRecord_OUTCOME_COMPLETED:
		return swarm.UpdateStateCompleted
	case clusterpb.SpecRecord_OUTCOME_ROLLBACK_COMPLETED:
		return swarm.UpdateStateRollbackCompleted
	case clusterpb.SpecRecord_OUTCOME_INTERRUPTED:
		return "interrupted"
	case clusterpb.SpecRecord_OUTCOME_ROLLED_BACK:
		return "rolled_back"
	case clusterpb.SpecRecord_OUTCOME_FAILED:
		return "failed"
	case clusterpb.SpecRecord_OUTCOME_UNSPECIFIED:
	}
	return ""
}
