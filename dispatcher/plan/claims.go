package plan

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/proto/rollout"
)

// claim is what one service wants of one published port.
type claim struct {
	port *dispatchpb.MeshPort
	// declared: the service asks for the port now, and not only tasks of an
	// earlier version of it.
	declared bool
}

func (m *mesh) nextClaims(v View, services map[string]struct{}) (claims map[string][]claim, changed bool) {
	claims = m.claims
	for id := range services {
		c := claimsOf(v, id)
		if sameClaims(claims[id], c) {
			continue
		}
		if !changed {
			claims, changed = maps.Clone(claims), true
		}
		if len(c) == 0 {
			delete(claims, id)
		} else {
			// Ports that are as they were keep their identity: only what
			// really changed is sent.
			claims[id] = keepSame(claims[id], c)
		}
	}
	return claims, changed
}

func sameClaims(a, b []claim) bool {
	return slices.EqualFunc(a, b, func(a, b claim) bool {
		return a.declared == b.declared && proto.Equal(a.port, b.port)
	})
}

func keepSame(old, next []claim) []claim {
	for i := range next {
		for _, o := range old {
			if proto.Equal(o.port, next[i].port) {
				next[i].port = o.port
			}
		}
	}
	return next
}

// claimsOf returns the published ports of a service, sorted, with the tasks
// that take connections.
func claimsOf(v View, serviceID string) []claim {
	found := make(map[port.Key]*claim)
	at := func(p *clusterpb.Port) *claim {
		k := port.Of(p)
		if found[k] == nil {
			found[k] = &claim{port: &dispatchpb.MeshPort{Protocol: k.Protocol, Published: k.Number, ServiceId: serviceID}}
		}
		return found[k]
	}
	svc, _ := v.Service(serviceID) // nil when it was removed and its tasks go
	for _, p := range svc.GetPorts() {
		if port.IsMeshed(p) {
			at(p).declared = true
		}
	}
	for t := range v.TasksOf(serviceID) {
		if !takesConnections(v, t) || rollout.IsOnTrial(svc, t) {
			continue
		}
		for _, p := range t.GetPorts() {
			if port.IsMeshed(p) {
				c := at(p)
				c.port.Endpoints = append(c.port.GetEndpoints(), &dispatchpb.MeshEndpoint{
					TaskId: t.GetId(), Addresses: network.Answering(t.GetAttachments()), Target: p.GetTarget(), NodeId: t.GetNodeId(),
				})
			}
		}
	}
	claims := make([]claim, 0, len(found))
	for _, c := range found {
		claims = append(claims, *c)
	}
	slices.SortFunc(claims, func(a, b claim) int { return port.Compare(a.port, b.port) })
	return claims
}

// takesConnections reports whether nodes may send new connections to t. A
// task that turned unhealthy says so before it is stopped and failed.
func takesConnections(v View, t *clusterpb.Task) bool {
	if !lifecycle.Serving(t) || len(network.Answering(t.GetAttachments())) == 0 ||
		t.GetStatus().GetHealth().GetState() == clusterpb.HealthStatus_STATE_UNHEALTHY {
		return false
	}
	n, ok := v.Node(t.GetNodeId())
	return ok && !lifecycle.Down(n)
}

// owners decides who has a port that several services claim: the service
// that asks for it now over one whose old tasks still have it, then the
// lower id.
func owners(claims map[string][]claim) map[port.Key]*dispatchpb.MeshPort {
	best := make(map[port.Key]claim)
	for _, cs := range claims {
		for _, c := range cs {
			k := port.Of(c.port)
			b, taken := best[k]
			if !taken || (c.declared && !b.declared) ||
				(c.declared == b.declared && c.port.GetServiceId() < b.port.GetServiceId()) {
				best[k] = c
			}
		}
	}
	ports := make(map[port.Key]*dispatchpb.MeshPort, len(best))
	for k, c := range best {
		ports[k] = c.port
	}
	return ports
}
