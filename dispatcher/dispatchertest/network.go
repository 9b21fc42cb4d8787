package dispatchertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/proto/call"
)

// buffer is how many bytes a link holds before a writer waits.
const buffer = 1 << 16

// nodeKey is the metadata key that stands for the node's certificate.
const nodeKey = "dispatchertest-node"

// Network connects nodes with managers. Make one inside the bubble.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener // by manager address
	links     map[linkKey]*link
}

type linkKey struct{ nodeID, addr string }

// NewNetwork returns a network without managers.
func NewNetwork() *Network {
	return &Network{listeners: make(map[string]*bufconn.Listener), links: make(map[linkKey]*link)}
}

// Serve runs a manager's gRPC server at addr until ctx is done. Register adds
// its services.
func (n *Network) Serve(ctx context.Context, addr string, register func(*grpc.Server)) error {
	lis := bufconn.Listen(buffer)
	n.mu.Lock()
	n.listeners[addr] = lis
	n.mu.Unlock()
	srv := grpc.NewServer(append(rpcerror.ServerOptions(), grpc.ChainStreamInterceptor(identify))...)
	register(srv)
	stop := context.AfterFunc(ctx, func() {
		n.mu.Lock()
		delete(n.listeners, addr)
		n.mu.Unlock()
		srv.Stop()
	})
	defer stop()
	if err := srv.Serve(lis); err != nil && !errors.Is(err, grpc.ErrServerStopped) && ctx.Err() == nil {
		return fmt.Errorf("serve %s: %w", addr, err)
	}
	return nil
}

// identify makes the node that a stream names its caller, as a gate would by
// its certificate.
func identify(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	if id := md.Get(nodeKey); len(id) == 1 {
		s = stream{s, call.NewContext(s.Context(), call.Principal{Kind: call.Worker, NodeID: id[0], Addr: id[0]})}
	}
	return handler(srv, s)
}

// stream is a stream whose caller is known.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s stream) Context() context.Context { return s.ctx }

// Dialer returns how a node dials managers.
func (n *Network) Dialer(nodeID string) func(ctx context.Context, addr string) (*grpc.ClientConn, error) {
	return func(_ context.Context, addr string) (*grpc.ClientConn, error) {
		opts := append(rpcerror.DialOptions(),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return n.connect(ctx, nodeID, addr) }),
			grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				return streamer(metadata.AppendToOutgoingContext(ctx, nodeKey, nodeID), desc, cc, method, opts...)
			}),
		)
		return grpc.NewClient("passthrough:///"+addr, opts...)
	}
}

func (n *Network) connect(ctx context.Context, nodeID, addr string) (net.Conn, error) {
	l := n.link(nodeID, addr)
	if err := l.pass(ctx.Done()); err != nil {
		return nil, err
	}
	n.mu.Lock()
	lis := n.listeners[addr]
	n.mu.Unlock()
	if lis == nil {
		return nil, fmt.Errorf("dial %s: connection refused: %w", addr, errdefs.ErrUnavailable)
	}
	raw, err := lis.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	return l.wrap(raw), nil
}

func (n *Network) link(nodeID, addr string) *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := linkKey{nodeID, addr}
	if n.links[k] == nil {
		n.links[k] = newLink()
	}
	return n.links[k]
}

// Stall holds all bytes between a node and the managers back, as a partition
// does: nobody is told. Without addresses it stalls every link of the node
// there has been.
func (n *Network) Stall(nodeID string, addrs ...string) {
	n.each(nodeID, addrs, (*link).stall)
}

// Heal lets the bytes flow again.
func (n *Network) Heal(nodeID string, addrs ...string) {
	n.each(nodeID, addrs, (*link).heal)
}

// Break closes the node's connections, as the end of its process does.
func (n *Network) Break(nodeID string, addrs ...string) {
	n.each(nodeID, addrs, (*link).breakAll)
}

func (n *Network) each(nodeID string, addrs []string, f func(*link)) {
	if len(addrs) == 0 {
		n.mu.Lock()
		for addr := range n.listeners {
			addrs = append(addrs, addr)
		}
		n.mu.Unlock()
	}
	for _, addr := range addrs {
		f(n.link(nodeID, addr))
	}
}
