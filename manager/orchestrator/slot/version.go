package slot

import (
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// OutOfDate reports whether the task differs from what its service asks now.
//
// A task of an older spec_version with the same content is up to date: a
// rollback leaves alone what was never changed. One that differs in placement
// only is up to date while its node still fits.
func OutOfDate(t *clusterpb.Task, svc *clusterpb.Service, nodes Nodes) bool {
	if t.GetSpecVersion() == svc.GetSpecVersion() {
		return false
	}
	have, want := t.GetSpec(), svc.GetSpec().GetTask()
	if !samePorts(t.GetPorts(), svc.GetPorts()) {
		return true
	}
	if proto.Equal(have, want) {
		return false
	}
	if !proto.Equal(withoutPlacement(have), withoutPlacement(want)) {
		return true
	}
	if t.GetNodeId() == "" {
		return true // it would be placed by the old rules
	}
	n, ok := nodes(t.GetNodeId())
	return !ok || !Fits(want.GetPlacement(), n)
}

func withoutPlacement(spec *clusterpb.TaskSpec) *clusterpb.TaskSpec {
	spec = proto.CloneOf(spec)
	if spec != nil {
		spec.Placement = nil
	}
	return spec
}

func samePorts(a, b []*clusterpb.Port) bool {
	return slices.EqualFunc(a, b, func(p, q *clusterpb.Port) bool { return proto.Equal(p, q) })
}

// HostPorts reports whether a port is bound on the node itself, so that two
// tasks with it cannot be on one node at a time.
func HostPorts(ports []*clusterpb.Port) bool {
	return slices.ContainsFunc(ports, func(p *clusterpb.Port) bool {
		return p.GetMode() == clusterpb.Port_MODE_HOST && p.GetPublished() != 0
	})
}

// Held reports whether the rollout of the present spec may not take further
// slots now: it is paused, or its canaries are not promoted.
func Held(svc *clusterpb.Service) bool {
	u := svc.GetUpdate()
	switch u.GetState() {
	case clusterpb.UpdateStatus_STATE_PAUSED, clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED, clusterpb.UpdateStatus_STATE_CANARY:
		return true
	case clusterpb.UpdateStatus_STATE_UPDATING:
		return svc.GetSpec().GetUpdate().GetCanary() > 0 && !u.GetPromoted()
	case clusterpb.UpdateStatus_STATE_UNSPECIFIED, clusterpb.UpdateStatus_STATE_COMPLETED,
		clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED, clusterpb.UpdateStatus_STATE_ROLLBACK_COMPLETED:
	}
	return false
}

// Begun reports whether the rollout of the present spec has taken the slot.
func Begun(svc *clusterpb.Service, number uint32) bool {
	return slices.ContainsFunc(svc.GetUpdate().GetProgress(), func(p *clusterpb.SlotUpdate) bool { return p.GetSlot() == number })
}
