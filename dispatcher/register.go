package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

// register writes down that the node is ready and what it says of itself.
func (t *term) register(ctx context.Context, nodeID string, reg *dispatchpb.Register, by daemon) error {
	n, ok := t.cfg.Store.State().Node(nodeID)
	if !ok {
		return fmt.Errorf("node %s is not part of the cluster: %w", nodeID, errdefs.ErrPermissionDenied)
	}
	news := registered(n, reg, by, time.Now())
	if news == nil {
		return nil // a reconnect that brings no news costs no log entry
	}
	t.warnContested(ctx, n, reg.GetDescription())
	timeout := time.NewTimer(registerTimeout)
	defer timeout.Stop()
	select {
	case <-t.statuses.putNode(news):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.done:
		return fmt.Errorf("write down node %s: another manager leads: %w", nodeID, errdefs.ErrUnavailable)
	case <-timeout.C:
		return fmt.Errorf("write down node %s: no quorum of managers for %v: %w", nodeID, registerTimeout, errdefs.ErrUnavailable)
	}
}

// warnContested tells that the node listens for the cluster where services
// publish: it is left out there, and says so itself.
func (t *term) warnContested(ctx context.Context, n *clusterpb.Node, d *clusterpb.NodeDescription) {
	says := &clusterpb.Node{Description: d, RaftAddr: n.GetRaftAddr()}
	for _, key := range t.cfg.Store.State().Contested(says) {
		t.log.WarnContext(ctx, "a node listens for the cluster on a port that a service publishes: the service is not reached by that node",
			"node", n.GetId(), "hostname", d.GetHostname(), "port", key)
	}
}

// registered returns what a node's registration changes, or nil.
func registered(n *clusterpb.Node, reg *dispatchpb.Register, by daemon, now time.Time) *raftpb.ObserveNode {
	status, held := connected(reg.GetDescription(), by, now), fitting(reg.GetImages())
	if n.GetStatus().GetState() == status.GetState() && n.GetStatus().GetInstance() == by.instance &&
		proto.Equal(n.GetDescription(), reg.GetDescription()) && sameImages(n.GetImages(), held) {
		return nil
	}
	return &raftpb.ObserveNode{
		Id: n.GetId(), Status: status, Description: reg.GetDescription(), Images: &raftpb.NodeImages{Images: held},
	}
}

func sameImages(a, b []*clusterpb.NodeImage) bool {
	return slices.EqualFunc(a, b, func(a, b *clusterpb.NodeImage) bool { return proto.Equal(a, b) })
}
