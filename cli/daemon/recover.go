package daemon

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
func (d *Daemon) forceNewCluster(ctx context.Context) (*nodepb.InitClusterResponse, error) {
	m := d.member.Load()
	if m == nil || m.store == nil {
		return nil, fmt.Errorf("--force-new-cluster goes on from the state of a manager, which this node is not: %w", errdefs.ErrFailedPrecondition)
	}
	s, credentials := m.settings, m.holder.Current()
	d.member.Store(nil)
	if err := m.stop(); err != nil {
		return nil, err
	}
	// Nobody is talked to: the transport only lends its address.
	_, alone := raft.NewInmemTransport(raft.ServerAddress(s.Advertise.String()))
	err := raftstore.ForceNewCluster(ctx, raftstore.Config{
		ID: credentials.Identity.NodeID, Dir: d.raftDir(), Transport: alone, Log: d.log.With("part", "raft"),
	})
	// Whether that worked or not, the node goes on as what it is now.
	again, startErr := d.startMember(context.WithoutCancel(ctx), s, credentials, nil)
	if startErr != nil {
		d.failed <- startErr
		return nil, errors.Join(err, startErr)
	}
	d.member.Store(again)
	if err != nil {
		return nil, err
	}
	if err := again.store.AwaitLeadership(ctx); err != nil {
		return nil, err
	}
	state := again.store.State()
	return initResponse(s, credentials.Identity.NodeID, state.Cluster().GetRootCa(), state.Secrets())
}
