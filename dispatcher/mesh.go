package dispatcher

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/spec"
)

// portKey names a published port.
type portKey struct {
	protocol  clusterpb.Port_Protocol
	published uint32
}

func keyOf(p *dispatchpb.MeshPort) portKey {
	return portKey{protocol: p.GetProtocol(), published: p.GetPublished()}
}

// mesh is the part of the assignments that is the same for every node: the
// peers and the published ports. It is immutable and shares the entries that
// did not change with the mesh before it, so that two meshes are compared by
// pointers.
type mesh struct {
	// serial counts the meshes of one leadership; the empty one has 0.
	serial uint64

	peers map[string]*dispatchpb.Peer
	ports map[portKey]*dispatchpb.MeshPort

	// claims are the ports by the service they come from; ports holds, of
	// those that claim the same port, the one that owns it.
	claims map[string][]claim

	// deltas remembers comparisons by the serial of the older mesh: most nodes
	// come from the same one.
	mu     sync.Mutex
	deltas map[uint64]*meshDelta
}

// claim is what one service wants of one published port.
type claim struct {
	port *dispatchpb.MeshPort
	// declared: the service asks for the port now, and not only tasks of an
	// earlier version of it.
	declared bool
}

func emptyMesh() *mesh {
	return &mesh{
		peers:  map[string]*dispatchpb.Peer{},
		ports:  map[portKey]*dispatchpb.MeshPort{},
		claims: map[string][]claim{},
	}
}

// next returns the mesh of the state v, given which nodes and services may
// have changed since m was made. It returns m when nothing did.
func (m *mesh) next(v view, nodes, services map[string]struct{}) *mesh {
	peers, peersChanged := m.nextPeers(v, nodes)
	claims, claimsChanged := m.nextClaims(v, services)
	if !peersChanged && !claimsChanged {
		return m
	}
	next := &mesh{serial: m.serial + 1, peers: peers, ports: m.ports, claims: claims}
	if claimsChanged {
		next.ports = owners(claims)
	}
	return next
}

func (m *mesh) nextPeers(v view, nodes map[string]struct{}) (peers map[string]*dispatchpb.Peer, changed bool) {
	peers = m.peers
	for id := range nodes {
		p := peerOf(v, id)
		if samePeer(peers[id], p) {
			continue
		}
		if !changed {
			peers, changed = maps.Clone(peers), true
		}
		if p == nil {
			delete(peers, id)
		} else {
			peers[id] = p
		}
	}
	return peers, changed
}

func samePeer(a, b *dispatchpb.Peer) bool {
	return (a == nil) == (b == nil) && proto.Equal(a, b)
}

// peerOf returns the node as the others should see it, or nil when it takes
// no part in the overlay: it is down, gone, or has not said where it is.
func peerOf(v view, id string) *dispatchpb.Peer {
	n, ok := v.Node(id)
	if !ok || down(n) || n.GetDescription().GetDataAddr() == "" {
		return nil
	}
	p := &dispatchpb.Peer{
		Id:          id,
		Index:       n.GetIndex(),
		DataAddr:    n.GetDescription().GetDataAddr(),
		ControlAddr: n.GetDescription().GetControlAddr(),
		GossipAddr:  n.GetDescription().GetGossipAddr(),
		Hostname:    n.GetDescription().GetHostname(),
	}
	for t := range v.TasksOn(id) {
		if !lifecycle.Ended(t.GetStatus().GetState()) {
			p.Addresses = append(p.Addresses, t.GetAddresses()...)
		}
	}
	slices.Sort(p.GetAddresses())
	return p
}

func down(n *clusterpb.Node) bool {
	return n.GetStatus().GetState() == clusterpb.NodeStatus_STATE_DOWN
}

func (m *mesh) nextClaims(v view, services map[string]struct{}) (claims map[string][]claim, changed bool) {
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
func claimsOf(v view, serviceID string) []claim {
	found := make(map[portKey]*claim)
	at := func(p *clusterpb.Port) *claim {
		k := portKey{protocol: p.GetProtocol(), published: p.GetPublished()}
		if found[k] == nil {
			found[k] = &claim{port: &dispatchpb.MeshPort{Protocol: k.protocol, Published: k.published, ServiceId: serviceID}}
		}
		return found[k]
	}
	svc, _ := v.Service(serviceID) // nil when it was removed and its tasks go
	for _, p := range svc.GetPorts() {
		if meshed(p) {
			at(p).declared = true
		}
	}
	for t := range v.TasksOf(serviceID) {
		if !takesConnections(v, t) || onTrial(svc, t) {
			continue
		}
		for _, p := range t.GetPorts() {
			if meshed(p) {
				c := at(p)
				c.port.Endpoints = append(c.port.GetEndpoints(), &dispatchpb.MeshEndpoint{
					TaskId: t.GetId(), Addresses: t.GetAddresses(), Target: p.GetTarget(), NodeId: t.GetNodeId(),
				})
			}
		}
	}
	claims := make([]claim, 0, len(found))
	for _, c := range found {
		claims = append(claims, *c)
	}
	slices.SortFunc(claims, func(a, b claim) int { return comparePorts(a.port, b.port) })
	return claims
}

// meshed reports whether every node answers on the port. Host ports concern
// only the node that runs the task, which knows its own tasks.
func meshed(p *clusterpb.Port) bool {
	return p.GetMode() != clusterpb.Port_MODE_HOST && p.GetPublished() != 0
}

// takesConnections reports whether nodes may send new connections to t. A
// task that turned unhealthy says so before it is stopped and failed.
func takesConnections(v view, t *clusterpb.Task) bool {
	if !lifecycle.Serving(t) || len(t.GetAddresses()) == 0 ||
		t.GetStatus().GetHealth().GetState() == clusterpb.HealthStatus_STATE_UNHEALTHY {
		return false
	}
	n, ok := v.Node(t.GetNodeId())
	return ok && !down(n)
}

// onTrial reports whether t is a canary that no connections go to: one of all
// replicas that is not promoted, or one of a rollout that was taken back or
// overtaken. Others share the traffic.
func onTrial(svc *clusterpb.Service, t *clusterpb.Task) bool {
	return t.GetCanary() && (t.GetSpecVersion() != svc.GetSpecVersion() || spec.BlueGreen(svc))
}

// owners decides who has a port that several services claim: the service
// that asks for it now over one whose old tasks still have it, then the
// lower id.
func owners(claims map[string][]claim) map[portKey]*dispatchpb.MeshPort {
	best := make(map[portKey]claim)
	for _, cs := range claims {
		for _, c := range cs {
			k := keyOf(c.port)
			b, taken := best[k]
			if !taken || (c.declared && !b.declared) ||
				(c.declared == b.declared && c.port.GetServiceId() < b.port.GetServiceId()) {
				best[k] = c
			}
		}
	}
	ports := make(map[portKey]*dispatchpb.MeshPort, len(best))
	for k, c := range best {
		ports[k] = c.port
	}
	return ports
}

func comparePorts(a, b *dispatchpb.MeshPort) int {
	return cmp.Or(cmp.Compare(a.GetProtocol(), b.GetProtocol()), cmp.Compare(a.GetPublished(), b.GetPublished()))
}

// meshDelta is what leads from one mesh to another, in order of ids.
type meshDelta struct {
	peers     []*dispatchpb.Peer
	gonePeers []string
	ports     []*dispatchpb.MeshPort
	gonePorts []*dispatchpb.MeshPort
}

// since returns the difference from old; it is computed once for all nodes
// that come from the same mesh. The caller must not change it.
func (m *mesh) since(old *mesh) *meshDelta {
	if m.serial == old.serial {
		return &meshDelta{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if d, ok := m.deltas[old.serial]; ok {
		return d
	}
	if m.deltas == nil {
		m.deltas = make(map[uint64]*meshDelta)
	}
	d := m.compare(old)
	m.deltas[old.serial] = d
	return d
}

func (m *mesh) compare(old *mesh) *meshDelta {
	d := &meshDelta{}
	for id, p := range m.peers {
		if old.peers[id] != p {
			d.peers = append(d.peers, p)
		}
	}
	for id := range old.peers {
		if m.peers[id] == nil {
			d.gonePeers = append(d.gonePeers, id)
		}
	}
	for k, p := range m.ports {
		if old.ports[k] != p {
			d.ports = append(d.ports, p)
		}
	}
	for k := range old.ports {
		if m.ports[k] == nil {
			d.gonePorts = append(d.gonePorts, &dispatchpb.MeshPort{Protocol: k.protocol, Published: k.published})
		}
	}
	slices.SortFunc(d.peers, func(a, b *dispatchpb.Peer) int { return cmp.Compare(a.GetId(), b.GetId()) })
	slices.Sort(d.gonePeers)
	slices.SortFunc(d.ports, comparePorts)
	slices.SortFunc(d.gonePorts, comparePorts)
	return d
}
