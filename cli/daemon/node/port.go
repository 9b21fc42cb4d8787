package node

import (
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/muster/muster/dispatcher/listen"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/manager/forward"
	"github.com/muster/muster/proto/call"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// standing tells what a node is by now. Workers know by what managers told them
// which nodes were removed.
func (m *member) standing(nodeID string, kind call.Callers) (call.Callers, error) {
	if m.manager != nil {
		return m.manager.Standing(nodeID, kind)
	}
	if told, _ := m.gossip.last(); slices.Contains(told.GetRemovedNodes(), nodeID) {
		return kind, call.ErrRemoved(nodeID)
	}
	return kind, nil
}

// standingFor is standing, for a protocol.
func (m *member) standingFor(protocol string) mtls.Standing {
	if protocol == listen.ProtocolRaft && m.manager != nil {
		return m.manager.RaftStanding
	}
	return m.standing
}

// entrance is how the control port proves who this node is and finds out who
// calls.
func (m *member) entrance() mtls.Server {
	protocols := map[string]call.Callers{listen.ProtocolGRPC: call.Anyone}
	if m.isManager() {
		protocols[listen.ProtocolRaft] = call.Manager
	}
	return mtls.Server{Credentials: m.holder.Current, Protocols: protocols, Standing: m.standingFor}
}

// maxStreams is how many calls may be under way on one connection of a node:
// another manager hands on those of all its callers over one.
const maxStreams = 1000

// ofNodes are the limits of connections of nodes.
func ofNodes() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(call.MaxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		// A peer that lost its power says nothing; what waits for it ends.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
	}
}

// ofStrangers are the limits of connections of whoever comes: a node that joins
// asks for the root and for a certificate, which takes some KiB and seconds.
func ofStrangers() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(16 << 10),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.MaxConcurrentStreams(4),
		grpc.StaticStreamWindowSize(64 << 10),
		grpc.StaticConnWindowSize(64 << 10),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 15 * time.Second, MaxConnectionAge: time.Minute, MaxConnectionAgeGrace: 10 * time.Second,
			Time: 10 * time.Second, Timeout: 3 * time.Second,
		}),
	}
}

// server is the gRPC side of the control port, for peers of which little or much
// is taken.
func (m *member) server(limits []grpc.ServerOption) *grpc.Server {
	opts := append(rpcerror.ServerOptions(), mtls.Gate{Standing: m.standing}.ServerOptions()...)
	opts = append(opts, limits...)
	opts = append(opts,
		grpc.Creds(listen.ServerCredentials()),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	if m.manager != nil {
		opts = append(opts, grpc.ForceServerCodecV2(forward.Codec()), grpc.UnknownServiceHandler(m.manager.Handler()))
	}
	s := grpc.NewServer(opts...)
	nodepb.RegisterPeerServiceServer(s, m.node.cfg.Content)
	if m.manager != nil {
		m.manager.Register(s)
	}
	return s
}
