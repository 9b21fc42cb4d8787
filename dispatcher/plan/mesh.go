package plan

import (
	"sync"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/port"
)

// mesh is the part of the assignments that is the same for every node: the
// peers and the published ports. It is immutable and shares the entries that
// did not change with the mesh before it, so that two meshes are compared by
// pointers.
type mesh struct {
	// serial counts the meshes of one leadership; the empty one has 0.
	serial uint64

	peers map[string]*dispatchpb.Peer
	ports map[port.Key]*dispatchpb.MeshPort

	// claims are the ports by the service they come from; ports holds, of
	// those that claim the same port, the one that owns it.
	claims map[string][]claim

	// deltas remembers comparisons by the serial of the older mesh: most nodes
	// come from the same one.
	mu     sync.Mutex
	deltas map[uint64]*meshDelta
}

func emptyMesh() *mesh {
	return &mesh{
		peers:  map[string]*dispatchpb.Peer{},
		ports:  map[port.Key]*dispatchpb.MeshPort{},
		claims: map[string][]claim{},
	}
}

// next returns the mesh of the state v, given which nodes and services may
// have changed since m was made. It returns m when nothing did.
func (m *mesh) next(v View, nodes, services map[string]struct{}) *mesh {
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
