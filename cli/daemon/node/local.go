package node

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/listen"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/manager/forward"
	"github.com/muster/muster/proto/call"
	controlpb "github.com/muster/muster/proto/control/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// Answers are what a node answers to the clients of its machine by itself.
type Answers interface {
	nodepb.LocalServiceServer
	controlpb.ImageServiceServer
}

// ServeLocal answers the clients of this machine on a listener that only root
// can reach, until ctx is done: s answers what concerns the node, this node's
// manager the rest. Whoever can open the socket is trusted with everything.
func (n *Node) ServeLocal(ctx context.Context, l net.Listener, s Answers) error {
	select {
	case <-n.resumed: // clients that connected meanwhile were kept waiting
	case <-ctx.Done():
		return l.Close()
	}
	opts := append(rpcerror.ServerOptions(), mtls.Gate{Peer: n.localPrincipal}.ServerOptions()...)
	server := grpc.NewServer(append(opts,
		grpc.Creds(listen.ServerCredentials()),
		grpc.ForceServerCodecV2(forward.Codec()),
		grpc.UnknownServiceHandler(n.toManager),
		grpc.MaxRecvMsgSize(call.MaxMessage),
	)...)
	nodepb.RegisterLocalServiceServer(server, s)
	controlpb.RegisterImageServiceServer(server, s)
	return serve(ctx, server, listen.Local(l))
}

// localPrincipal is who calls over the socket: this node's root.
func (n *Node) localPrincipal(ctx context.Context) (call.Principal, error) {
	p, err := mtls.PeerPrincipal(ctx)
	if m := n.member.Load(); m != nil {
		id := m.identity()
		p.NodeID, p.ClusterID = id.NodeID, id.ClusterID
	}
	return p, err
}

// toManager hands what a user asks of the cluster to this node's manager.
func (n *Node) toManager(srv any, stream grpc.ServerStream) error {
	m := n.member.Load()
	switch {
	case m == nil:
		return fmt.Errorf("this node is in no cluster: create one with \"muster swarm init\" or join one with \"muster swarm join\": %w", errdefs.ErrFailedPrecondition)
	case m.manager == nil:
		return fmt.Errorf("this node is a worker, which knows only its own tasks: run the command on a manager (%s): %w",
			list(m.managers()), errdefs.ErrFailedPrecondition)
	}
	return m.manager.Handler()(srv, stream)
}

func list(addrs []string) string {
	if len(addrs) == 0 {
		return "none known"
	}
	return strings.Join(addrs, ", ")
}

// Local implements LocalService.
type Local struct {
	nodepb.UnimplementedLocalServiceServer
	Node *Node
}

// GetStatus tells about the node and its place in a cluster.
func (l *Local) GetStatus(context.Context, *nodepb.GetStatusRequest) (*nodepb.GetStatusResponse, error) {
	resp := &nodepb.GetStatusResponse{
		State:   nodepb.GetStatusResponse_STATE_INACTIVE,
		Version: l.Node.cfg.Version,
	}
	m := l.Node.member.Load()
	if m == nil {
		return resp, nil
	}
	id := m.identity()
	resp.State = nodepb.GetStatusResponse_STATE_ACTIVE
	resp.NodeId, resp.ClusterId, resp.Role = id.NodeID, id.ClusterID, id.Role
	resp.NodeAddr = m.settings.Advertise.Addr().String()
	resp.Managers = m.managers()
	if err := m.trouble(); err != nil {
		resp.State, resp.Err = nodepb.GetStatusResponse_STATE_ERROR, err.Error()
	}
	return resp, nil
}

// InitCluster makes this node the first manager of a new cluster.
func (l *Local) InitCluster(ctx context.Context, r *nodepb.InitClusterRequest) (*nodepb.InitClusterResponse, error) {
	return l.Node.found(ctx, r)
}

// JoinCluster makes this node a member.
func (l *Local) JoinCluster(ctx context.Context, r *nodepb.JoinClusterRequest) (*nodepb.JoinClusterResponse, error) {
	return l.Node.join(ctx, r)
}

// MoveNode makes this member known at another address.
func (l *Local) MoveNode(ctx context.Context, r *nodepb.MoveNodeRequest) (*nodepb.MoveNodeResponse, error) {
	return move(ctx, l.Node, r)
}

// LeaveCluster stops this node's tasks and forgets the cluster.
func (l *Local) LeaveCluster(ctx context.Context, r *nodepb.LeaveClusterRequest) (*nodepb.LeaveClusterResponse, error) {
	return &nodepb.LeaveClusterResponse{}, l.Node.leave(ctx, r.GetForce())
}

// Diagnose compares the kernel with what it should hold.
func (l *Local) Diagnose(ctx context.Context, _ *nodepb.DiagnoseRequest) (*nodepb.DiagnoseResponse, error) {
	m := l.Node.member.Load()
	if m == nil {
		return nil, fmt.Errorf("this node is in no cluster: there is nothing to compare: %w", errdefs.ErrFailedPrecondition)
	}
	plane := m.machine.Plane
	differences, err := standing(ctx, plane.Diff)
	if err != nil {
		return nil, err
	}
	troubles, warnings := m.machine.Troubles.Now()
	findings := slices.Concat(troubles, warnings)
	for _, f := range plane.Probe(ctx) { // the daemon's own looks may have found the same
		if !slices.ContainsFunc(findings, func(known string) bool { return strings.HasSuffix(known, f) }) {
			findings = append(findings, f)
		}
	}
	return &nodepb.DiagnoseResponse{
		Differences: differences, Findings: findings, AppliedIndex: plane.Index(), Repairs: plane.Repairs(),
	}, nil
}
