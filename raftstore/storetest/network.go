package storetest

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/network"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// Ingress creates the network of published ports with subnets.
func Ingress(subnets ...string) *raftpb.Change {
	return state.CreateNetwork(&raftpb.CreateNetwork{
		Id: network.Ingress, Spec: &clusterpb.NetworkSpec{Name: network.Ingress}, Subnets: subnets,
	})
}

// Attached is an attachment to that network with addresses, or none without.
func Attached(addresses ...string) []*clusterpb.Attachment {
	if len(addresses) == 0 {
		return nil
	}
	return []*clusterpb.Attachment{{NetworkId: network.Ingress, Addresses: addresses}}
}
