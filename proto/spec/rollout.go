package spec

import clusterpb "github.com/muster/muster/proto/cluster/v1"

// BlueGreen reports whether the canaries of a rollout are all that it changes.
// Then they take no connections before they are promoted, and all of them in
// one step after that.
//
// What counts is how many slots there were to change when the rollout began,
// so that scaling the service meanwhile moves no traffic.
func BlueGreen(svc *clusterpb.Service) bool {
	canary := svc.GetSpec().GetUpdate().GetCanary()
	return canary > 0 && canary >= svc.GetUpdate().GetSlots()
}
