package node

import (
	"context"

	"github.com/muster/muster/manager/founding"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// found makes this node the first manager of a new cluster.
func (n *Node) found(ctx context.Context, r *nodepb.InitClusterRequest) (*nodepb.InitClusterResponse, error) {
	end, err := n.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if r.GetForceNewCluster() {
		return n.forceNewCluster(ctx)
	}
	if err := n.mustBeAlone(); err != nil {
		return nil, err
	}
	h, err := n.cfg.Network.Host()
	if err != nil {
		return nil, err
	}
	s, err := addresses(h, r.GetAdvertiseAddr(), r.GetListenAddr(), r.GetDataPathAddr())
	if err != nil {
		return nil, err
	}
	own, routed := h.inUse()
	f, err := founding.New(founding.Request{
		Spec: r.GetSpec(), AddrPool: r.GetDefaultAddrPool(), DataPathPort: r.GetDataPathPort(),
		ControlAddr: s.Advertise.String(), Availability: r.GetAvailability(), InUse: own, Routed: routed,
	})
	if err != nil {
		return nil, err
	}
	if err := n.become(ctx, s, f.Credentials, f); err != nil {
		return nil, err
	}
	return initResponse(s, f.Node.GetId(), f.Cluster.GetRootCa(), f.Cluster)
}

// initResponse tells how others join.
func initResponse(s settings, nodeID string, rootCA []byte, secrets founding.Secrets) (*nodepb.InitClusterResponse, error) {
	worker, manager, err := founding.Tokens(rootCA, secrets)
	if err != nil {
		return nil, err
	}
	return &nodepb.InitClusterResponse{
		NodeId: nodeID, WorkerToken: worker, ManagerToken: manager, ControlAddr: s.Advertise.String(),
	}, nil
}
