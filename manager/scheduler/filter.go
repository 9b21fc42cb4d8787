package scheduler

import (
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/constraint"
	"github.com/muster/muster/proto/lifecycle"
)

// reason is why a node cannot take a task, as a text with the nodes for %s.
type reason string

const (
	notReady     reason = "%s not available for new tasks"
	noCPU        reason = "insufficient cpu on %s"
	noMemory     reason = "insufficient memory on %s"
	notMatching  reason = "scheduling constraints not satisfied on %s"
	badPlatform  reason = "unsupported platform on %s"
	portInUse    reason = "host-mode port already in use on %s"
	tooMany      reason = "max replicas per node reached on %s"
	badCondition reason = "constraints that cannot be read on %s"
)

// filter tells why a node cannot take a task of the group, or "".
type filter func(g *group, h *host) reason

// refuses runs the filters in Swarm's order; the first that refuses counts.
func (g *group) refuses(h *host) reason {
	return g.first(h, ready, resources, constraints, platform, hostPorts, maxPerNode)
}

// lacks runs the filters whose answer changes as tasks are placed.
func (g *group) lacks(h *host) reason { return g.first(h, resources, hostPorts, maxPerNode) }

// mismatches runs the others.
func (g *group) mismatches(h *host) reason { return g.first(h, ready, constraints, platform) }

func (g *group) first(h *host, filters ...filter) reason {
	for _, f := range filters {
		if why := f(g, h); why != "" {
			return why
		}
	}
	return ""
}

// ready: the node is connected and takes new tasks.
func ready(_ *group, h *host) reason {
	availability := h.node.GetSpec().GetAvailability()
	active := availability == clusterpb.NodeSpec_AVAILABILITY_ACTIVE || availability == clusterpb.NodeSpec_AVAILABILITY_UNSPECIFIED
	if !active || !lifecycle.Well(h.node) {
		return notReady
	}
	return ""
}

// resources: what the task reserves is free.
func resources(g *group, h *host) reason {
	want := g.spec.GetReservations()
	switch {
	case want.GetNanoCpus() > 0 && want.GetNanoCpus() > h.cpus:
		return noCPU
	case want.GetMemoryBytes() > 0 && want.GetMemoryBytes() > h.memory:
		return noMemory
	}
	return ""
}

// constraints: all of them hold.
func constraints(g *group, h *host) reason {
	if g.broken != nil {
		return badCondition
	}
	if !constraint.MatchAll(g.constraints, h.node) {
		return notMatching
	}
	return ""
}

// platform: the images exist for the node.
func platform(g *group, h *host) reason {
	if !slot.RunsOn(g.images, h.node) {
		return badPlatform
	}
	return ""
}

// hostPorts: no task there has a port that this one binds on the node.
func hostPorts(g *group, h *host) reason {
	for _, p := range g.ports {
		if h.ports[p] > 0 {
			return portInUse
		}
	}
	return ""
}

// maxPerNode: the service's cap on copies.
func maxPerNode(g *group, h *host) reason {
	if limit := g.spec.GetPlacement().GetMaxPerNode(); limit > 0 && g.copies[h] >= int(limit) {
		return tooMany
	}
	return ""
}
