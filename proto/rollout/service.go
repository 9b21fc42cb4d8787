package rollout

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Config returns how the service's present rollout is done: a rollback has
// settings of its own.
func Config(svc *clusterpb.Service) *clusterpb.UpdateConfig {
	if IsRollback(svc.GetUpdate().GetState()) {
		return svc.GetSpec().GetRollback()
	}
	return svc.GetSpec().GetUpdate()
}

// IsAtCanaries reports whether the rollout's new tasks are canaries: they run
// beside the old ones and are not promoted. A rollback has none.
func IsAtCanaries(svc *clusterpb.Service) bool {
	state := svc.GetUpdate().GetState()
	return svc.GetSpec().GetUpdate().GetCanary() > 0 && !svc.GetUpdate().GetPromoted() &&
		!IsRollback(state) && !IsOver(state)
}

// IsBlueGreen reports whether the canaries of a rollout are all that it changes.
// Then they take no connections before they are promoted, and all of them in
// one step after that.
//
// What counts is how many slots there were to change when the rollout began,
// so that scaling the service meanwhile moves no traffic.
func IsBlueGreen(svc *clusterpb.Service) bool {
	canary := svc.GetSpec().GetUpdate().GetCanary()
	return canary > 0 && canary >= svc.GetUpdate().GetSlots()
}

// IsHeld reports whether the rollout may take no slot but those of canaries
// now: it is paused, or its canaries are not promoted.
func IsHeld(svc *clusterpb.Service) bool {
	state := svc.GetUpdate().GetState()
	return IsPaused(state) || AwaitsPromotion(state) || IsAtCanaries(svc)
}

// HasBegun reports whether the rollout has taken the slot.
func HasBegun(svc *clusterpb.Service, slot uint32) bool {
	return Progress(svc.GetUpdate(), slot) != nil
}

// Failed counts the slots whose failure counted.
func Failed(u *clusterpb.UpdateStatus) (n int) {
	for _, p := range u.GetProgress() {
		if p.GetFailed() {
			n++
		}
	}
	return n
}
