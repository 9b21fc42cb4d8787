package founding

import (
	"fmt"
	"net/netip"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/manager/ca"
	"github.com/muster/muster/manager/gossipkeys"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/id"
	"github.com/muster/muster/proto/jointoken"
	"github.com/muster/muster/proto/network"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// Request is what is asked of a new cluster.
type Request struct {
	// Spec of the cluster; nil is the default.
	Spec *clusterpb.ClusterSpec
	// AddrPool is the IPv4 prefix, as a CIDR, from which networks are cut;
	// empty is [spec.DefaultAddrPool].
	AddrPool string
	// DataPathPort is the UDP port of the overlay, 1024 to 49151; 0 is
	// [spec.DefaultDataPathPort].
	DataPathPort uint32

	// ControlAddr is HOST:PORT, at which others reach the first manager.
	ControlAddr string
	// Availability of the first manager.
	Availability clusterpb.NodeSpec_Availability
	// InUse are the networks that its host is in: task addresses must not be
	// taken from them.
	InUse []netip.Prefix
	// Routed are networks that its host has routes to. They are avoided as well,
	// unless that leaves no room: a route may be much wider than what is there.
	Routed []netip.Prefix
}

// Founding is everything that a new cluster begins with.
type Founding struct {
	// Credentials of the first manager.
	Credentials *mtls.Credentials
	Cluster     *raftpb.CreateCluster
	// Network is that of published ports.
	Network *raftpb.CreateNetwork
	Node    *raftpb.PutNode
}

// New decides what a new cluster is like. Ids, keys and secrets are random.
// What is asked for and cannot be is ErrInvalidArgument; ErrResourceExhausted
// when the networks in use leave no room in the pool.
func New(r Request) (*Founding, error) {
	clusterSpec := r.Spec
	if clusterSpec == nil {
		clusterSpec = &clusterpb.ClusterSpec{}
	}
	if err := spec.ValidateCluster(clusterSpec); err != nil {
		return nil, err
	}
	clusterID, nodeID := id.New(), id.New()
	subnets, err := ingressSubnets(r.AddrPool, clusterID, r.InUse, r.Routed)
	if err != nil {
		return nil, err
	}
	port, err := dataPathPort(r.DataPathPort)
	if err != nil {
		return nil, err
	}
	rootCert, rootKey, err := ca.NewRoot(clusterID)
	if err != nil {
		return nil, fmt.Errorf("make the cluster's root certificate: %w", err)
	}
	signer, err := ca.NewSigner(clusterID, rootCert, rootKey)
	if err != nil {
		return nil, err
	}
	credentials, err := signer.Issue(nodeID, clusterpb.NodeRole_NODE_ROLE_MANAGER, spec.CertExpiry(clusterSpec))
	if err != nil {
		return nil, fmt.Errorf("make this node's certificate: %w", err)
	}
	return &Founding{
		Credentials: credentials,
		Cluster: &raftpb.CreateCluster{
			Id:            clusterID,
			Spec:          clusterSpec,
			RootCa:        rootCert,
			RootCaKey:     rootKey,
			DataPathPort:  port,
			WorkerSecret:  jointoken.NewSecret(),
			ManagerSecret: jointoken.NewSecret(),
			GossipKeys:    gossipkeys.First(),
		},
		Network: &raftpb.CreateNetwork{
			Id: network.Ingress, Spec: &clusterpb.NetworkSpec{Name: network.Ingress}, Subnets: subnets,
		},
		Node: &raftpb.PutNode{
			Id:       nodeID,
			Role:     clusterpb.NodeRole_NODE_ROLE_MANAGER,
			RaftAddr: r.ControlAddr,
			Spec:     &clusterpb.NodeSpec{Availability: r.Availability},
		},
	}, nil
}

// Changes put the cluster into an empty state.
func (f *Founding) Changes() []*raftpb.Change {
	return []*raftpb.Change{state.CreateCluster(f.Cluster), state.CreateNetwork(f.Network), state.PutNode(f.Node)}
}
