package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/raft"

	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/raftstore"
)

// forceNewCluster makes this manager the only one, with the state it has: the
// way out when the majority of the managers is lost for good. Services, nodes
// and tokens stay; the other managers must be wiped before they join again.
func (n *Node) forceNewCluster(ctx context.Context) (*nodepb.InitClusterResponse, error) {
	m := n.member.Load()
	if m == nil || m.store == nil {
		return nil, fmt.Errorf("--force-new-cluster continues from the state of a manager, which this node is not: %w", errdefs.ErrFailedPrecondition)
	}
	s, credentials := m.settings, m.holder.Current()
	n.member.Store(nil)
	if err := m.stop(); err != nil {
		return nil, err
	}
	// Nobody is talked to: the transport only lends its address.
	_, alone := raft.NewInmemTransport(raft.ServerAddress(s.Advertise.String()))
	store := n.cfg.raft(credentials.Identity.NodeID)
	store.Transport = alone
	err := raftstore.ForceNewCluster(ctx, store)
	// Whether that worked or not, the node goes on as what it is now.
	again, startErr := n.startMember(context.WithoutCancel(ctx), s, credentials, nil)
	if startErr != nil {
		n.failed <- startErr
		return nil, errors.Join(err, startErr)
	}
	n.member.Store(again)
	if err != nil {
		return nil, err
	}
	if err := again.store.AwaitLeadership(ctx); err != nil {
		return nil, err
	}
	st := again.store.State()
	return initResponse(s, credentials.Identity.NodeID, st.Cluster().GetRootCa(), st.Secrets())
}
