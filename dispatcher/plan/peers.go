package plan

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
)

func (m *mesh) nextPeers(v View, nodes map[string]struct{}) (peers map[string]*dispatchpb.Peer, changed bool) {
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
func peerOf(v View, id string) *dispatchpb.Peer {
	n, ok := v.Node(id)
	if !ok || lifecycle.Down(n) || n.GetDescription().GetDataAddr() == "" {
		return nil
	}
	p := &dispatchpb.Peer{
		Id:          id,
		Index:       n.GetIndex(),
		DataAddr:    n.GetDescription().GetDataAddr(),
		ControlAddr: n.GetDescription().GetControlAddr(),
		GossipAddr:  n.GetDescription().GetGossipAddr(),
		Hostname:    n.GetDescription().GetHostname(),
		Addresses:   n.GetDescription().GetAddresses(),
	}
	p.Attachments = attachmentsOn(v, id)
	return p
}

// attachmentsOn returns what the tasks on a node have in each network, in order.
func attachmentsOn(v View, nodeID string) (list []*clusterpb.Attachment) {
	byNetwork := make(map[string][]string)
	for t := range v.TasksOn(nodeID) {
		if lifecycle.Ended(t.GetStatus().GetState()) {
			continue
		}
		for _, a := range t.GetAttachments() {
			byNetwork[a.GetNetworkId()] = append(byNetwork[a.GetNetworkId()], a.GetAddresses()...)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byNetwork)) {
		slices.Sort(byNetwork[id])
		list = append(list, &clusterpb.Attachment{NetworkId: id, Addresses: byNetwork[id]})
	}
	return list
}
