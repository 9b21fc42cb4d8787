package rollout

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// IsOnTrial reports whether t is a canary that no connections go to: one of all
// replicas that is not promoted, or one of a rollout that was taken back or
// overtaken. Others share the traffic. svc is nil when the service was removed.
func IsOnTrial(svc *clusterpb.Service, t *clusterpb.Task) bool {
	return t.GetCanary() && (t.GetSpecVersion() != svc.GetSpecVersion() || IsBlueGreen(svc))
}

// TakeOver says what the promotion of canaries does to the service's tasks:
// promoted are canaries no more and have their slots from now on, replaced are
// asked to stop. Both happen in one step, so that no state leads connections to
// both.
//
// A canary that does not serve right now leaves the old task to the updater,
// unless the canaries are all replicas: then the old ones go together, though
// not for nothing.
func TakeOver(svc *clusterpb.Service, tasks []*clusterpb.Task) (promoted, replaced []*clusterpb.Task) {
	taken, serves := make(map[uint32]bool), false // slots, by whether the old tasks go
	for _, t := range tasks {
		if !t.GetCanary() || t.GetSpecVersion() != svc.GetSpecVersion() {
			continue
		}
		serving := lifecycle.Serving(t)
		serves = serves || serving
		taken[t.GetSlot()] = taken[t.GetSlot()] || serving || IsBlueGreen(svc)
		promoted = append(promoted, t)
	}
	for _, t := range tasks {
		if serves && taken[t.GetSlot()] && t.GetSpecVersion() != svc.GetSpecVersion() && lifecycle.Wanted(t) {
			replaced = append(replaced, t)
		}
	}
	return promoted, replaced
}
