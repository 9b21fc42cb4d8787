package plan

import (
	"cmp"
	"slices"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/port"
)

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
			d.gonePorts = append(d.gonePorts, &dispatchpb.MeshPort{Protocol: k.Protocol, Published: k.Number})
		}
	}
	slices.SortFunc(d.peers, func(a, b *dispatchpb.Peer) int { return cmp.Compare(a.GetId(), b.GetId()) })
	slices.Sort(d.gonePeers)
	slices.SortFunc(d.ports, port.Compare)
	slices.SortFunc(d.gonePorts, port.Compare)
	return d
}
