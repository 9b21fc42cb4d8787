package slot

import (
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/proto/spec"
)

// Dates tells which tasks of a service are out of date. It compares a spec
// once for all tasks made from it.
type Dates struct {
	svc   *clusterpb.Service
	nodes Nodes
	known map[uint64]difference // by spec_version
}

type difference int

const (
	same difference = iota
	placementOnly
	different
)

// NewDates compares with the service's present spec.
func NewDates(svc *clusterpb.Service, nodes Nodes) *Dates {
	return &Dates{svc: svc, nodes: nodes, known: make(map[uint64]difference)}
}

// OutOfDate reports whether the task differs from what its service asks now.
//
// A task of an older spec_version with the same content is up to date: a
// rollback leaves alone what was never changed. One that differs in placement
// only is up to date while its node still fits. A canary belongs to its own
// rollout only.
func (d *Dates) OutOfDate(t *clusterpb.Task) bool {
	if t.GetSpecVersion() == d.svc.GetSpecVersion() {
		return false
	}
	if t.GetCanary() {
		return true
	}
	diff, ok := d.known[t.GetSpecVersion()]
	if !ok {
		diff = compare(t, d.svc)
		d.known[t.GetSpecVersion()] = diff
	}
	switch diff {
	case same:
		return false
	case different:
		return true
	case placementOnly:
	}
	n, ok := d.nodes(t.GetNodeId())
	return !ok || !Fits(d.svc.GetSpec().GetTask().GetPlacement(), d.svc.GetImages(), n)
}

func compare(t *clusterpb.Task, svc *clusterpb.Service) difference {
	have, want := t.GetSpec(), svc.GetSpec().GetTask()
	switch {
	case t.GetRestarts() != svc.GetRestarts(), !spec.SamePorts(t.GetPorts(), svc.GetPorts()):
		return different
	case spec.SameTask(have, want, t.GetImages(), svc.GetImages()):
		return same
	case spec.SameButPlacement(have, want, t.GetImages(), svc.GetImages()):
		return placementOnly
	}
	return different
}

// HostPorts reports whether one of the ports is bound on the node itself.
func HostPorts(ports []*clusterpb.Port) bool { return slices.ContainsFunc(ports, port.IsFixedOnHost) }
