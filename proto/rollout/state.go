// Package rollout holds the rules about a rollout: what its state means, which
// steps lead from one to the next, and what a service goes back to. They are
// pure; the updater, the API, the state machine and the client ask them.
package rollout

import clusterpb "github.com/muster/muster/proto/cluster/v1"

// State is where a rollout is. A service that was never updated has
// STATE_UNSPECIFIED.
type State = clusterpb.UpdateStatus_State

const (
	never             = clusterpb.UpdateStatus_STATE_UNSPECIFIED
	updating          = clusterpb.UpdateStatus_STATE_UPDATING
	canaries          = clusterpb.UpdateStatus_STATE_CANARY
	paused            = clusterpb.UpdateStatus_STATE_PAUSED
	completed         = clusterpb.UpdateStatus_STATE_COMPLETED
	rollbackStarted   = clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED
	rollbackPaused    = clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED
	rollbackCompleted = clusterpb.UpdateStatus_STATE_ROLLBACK_COMPLETED
)

// HasNone reports whether the service was never updated.
func HasNone(s State) bool { return s == never }

// TakesSlots reports whether further slots may be brought to the new spec.
func TakesSlots(s State) bool { return s == updating || s == rollbackStarted }

// AwaitsPromotion reports whether all canaries run and wait for approval.
func AwaitsPromotion(s State) bool { return s == canaries }

// IsUnderWay reports whether the rollout is neither paused nor over: it takes
// slots, or its canaries wait to be promoted.
func IsUnderWay(s State) bool { return TakesSlots(s) || AwaitsPromotion(s) }

// IsPaused reports whether the rollout was stopped, by the user or since too
// much failed, and goes on only when the user says so.
func IsPaused(s State) bool { return s == paused || s == rollbackPaused }

// IsOver reports whether every slot is what it should be, or was given up, or
// there was never a rollout. As an outcome it says that a spec was rolled out whole.
func IsOver(s State) bool { return s == never || s == completed || s == rollbackCompleted }

// IsRollback reports whether the rollout leads back to an earlier spec, or has.
func IsRollback(s State) bool {
	return s == rollbackStarted || s == rollbackPaused || s == rollbackCompleted
}

// Name is what people call a rollout that is not over; "" for others.
func Name(s State) string {
	switch s {
	case updating:
		return "updating"
	case canaries:
		return "canary"
	case paused:
		return "update paused"
	case rollbackStarted:
		return "rolling back"
	case rollbackPaused:
		return "rollback paused"
	case completed, rollbackCompleted, never:
	}
	return ""
}
