package forward

import (
	"context"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/muster/muster/dispatcher/mtls"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Caller is who made a call, as the server it came in on has verified.
type Caller struct {
	// Identity is the zero value for callers without a certificate.
	mtls.Identity
	// Local callers came over a node's own socket, which only root may open.
	Local bool
	// Addr is the address the call came from.
	Addr string
}

const (
	keyNode    = "muster-caller-node"
	keyCluster = "muster-caller-cluster"
	keyRole    = "muster-caller-role"
	keyLocal   = "muster-caller-local"
	keyAddr    = "muster-caller-addr"
)

// write replaces what md says of the caller.
func (c Caller) write(md metadata.MD) {
	md.Set(keyNode, c.NodeID)
	md.Set(keyCluster, c.ClusterID)
	md.Set(keyRole, strconv.Itoa(int(c.Role)))
	md.Set(keyLocal, strconv.FormatBool(c.Local))
	md.Set(keyAddr, c.Addr)
}

// Forwarded returns the caller that a forwarding server named. Only a server
// whose peers are all managers or this process may believe it.
func Forwarded(ctx context.Context) (Caller, bool) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, key := range []string{keyNode, keyCluster, keyRole, keyLocal, keyAddr} {
		if len(md.Get(key)) != 1 {
			return Caller{}, false
		}
	}
	role, err := strconv.Atoi(md.Get(keyRole)[0])
	if err != nil {
		return Caller{}, false
	}
	return Caller{
		Identity: mtls.Identity{
			NodeID: md.Get(keyNode)[0], ClusterID: md.Get(keyCluster)[0], Role: clusterpb.NodeRole(role),
		},
		Local: md.Get(keyLocal)[0] == "true",
		Addr:  md.Get(keyAddr)[0],
	}, true
}

// CallerOf returns who makes a call that came in on a server others can
// reach: what a manager says when it hands a call on, else the peer itself.
func CallerOf(ctx context.Context) Caller {
	id, _ := mtls.PeerIdentity(ctx)
	if id.Role == clusterpb.NodeRole_NODE_ROLE_MANAGER {
		if c, ok := Forwarded(ctx); ok {
			return c
		}
	}
	c := Caller{Identity: id, Local: mtls.IsLocal(ctx)}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		c.Addr = p.Addr.String()
	}
	return c
}

// ServerOptions let the handlers of a server that only forwarding servers of
// this process reach see the original caller as their peer.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			return handler(asCaller(ctx), req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return handler(srv, calledStream{ss, asCaller(ss.Context())})
		}),
	}
}

func asCaller(ctx context.Context) context.Context {
	c, ok := Forwarded(ctx)
	if !ok {
		return ctx
	}
	return peer.NewContext(ctx, &peer.Peer{Addr: callerAddr(c.Addr), AuthInfo: mtls.ForwardedInfo{Caller: c.Identity}})
}

type calledStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // this is how gRPC lets a stream's context be replaced
}

func (s calledStream) Context() context.Context { return s.ctx }

// callerAddr is HOST:PORT.
type callerAddr string

// Network implements net.Addr.
func (callerAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (a callerAddr) String() string { return string(a) }
