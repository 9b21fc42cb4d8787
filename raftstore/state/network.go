package state

import (
	"iter"
	"net/netip"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

const networkByName = 0

// KindNetwork is of networks.
const KindNetwork Kind = "network"

func networkKind() *kind[*clusterpb.Network] {
	return &kind[*clusterpb.Network]{
		name: KindNetwork,
		key:  (*clusterpb.Network).GetId,
		indexes: []func(*clusterpb.Network) []string{
			networkByName: func(n *clusterpb.Network) []string { return []string{n.GetSpec().GetName()} },
		},
		item: func(n *clusterpb.Network) *raftpb.SnapshotItem {
			return &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Network{Network: n}}
		},
		object:  (*raftpb.SnapshotItem).GetNetwork,
		answers: true,
	}
}

// Network returns the network with that id.
func (s *State) Network(id string) (*clusterpb.Network, bool) { return s.networks.get(id) }

// Networks yields every network, ordered by id.
func (s *State) Networks() iter.Seq[*clusterpb.Network] { return s.networks.all() }

// CreateNetwork creates a network with the subnets that its creator chose.
func CreateNetwork(c *raftpb.CreateNetwork) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_CreateNetwork{CreateNetwork: c}}
}

func (tx *tx) createNetwork(c *raftpb.CreateNetwork) error {
	name := c.GetSpec().GetName()
	if c.GetId() == "" || name == "" {
		return refuse(invalid, "a network needs an id and a name")
	}
	if _, exists := tx.networks.get(c.GetId()); exists {
		return refuse(alreadyExists, "network %s exists already", name)
	}
	if tx.networks.has(networkByName, name) {
		return refuse(alreadyExists, "a network named %q exists already", name)
	}
	if err := checkSubnets(name, c.GetSubnets(), tx.networks.all()); err != nil {
		return err
	}
	now := timestamppb.New(tx.now)
	set(tx, &tx.networks, &clusterpb.Network{
		Id: c.GetId(), Version: tx.index, CreatedAt: now, UpdatedAt: now, Spec: c.GetSpec(), Subnets: c.GetSubnets(),
	})
	return nil
}

// checkSubnets refuses a new network what is no prefix, or what another network
// has a part of: an address says which network it is of. A conflict means that
// the creator looked at an older state.
func checkSubnets(name string, subnets []string, others iter.Seq[*clusterpb.Network]) error {
	var mine []netip.Prefix
	for _, text := range subnets {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() {
			return refuse(invalid, "network %s: %q is not a prefix such as 10.0.0.0/16", name, text)
		}
		for _, other := range mine {
			if other.Overlaps(p) {
				return refuse(invalid, "network %s: its subnets %s and %s overlap", name, other, p)
			}
		}
		mine = append(mine, p)
		for other := range others {
			if overlaps(other, p) {
				return refuse(conflict, "network %s: %s overlaps network %s", name, p, other.GetSpec().GetName())
			}
		}
	}
	return nil
}

func overlaps(n *clusterpb.Network, p netip.Prefix) bool {
	for _, text := range n.GetSubnets() {
		if own, err := netip.ParsePrefix(text); err == nil && own.Overlaps(p) {
			return true
		}
	}
	return false
}
