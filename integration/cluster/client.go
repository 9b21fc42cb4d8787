package cluster

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/proto/call"
	"github.com/muster/muster/proto/id"
)

const (
	// clientPatience bounds how long a client asks again.
	clientPatience = 60 * time.Second
	// clientPause is how long it waits in between.
	clientPause = 100 * time.Millisecond
	// attemptTimeout bounds one attempt.
	attemptTimeout = 15 * time.Second
	// changeTimeout bounds founding, joining and leaving, which wait for others.
	changeTimeout = 5 * time.Minute
)

// On returns a connection that asks one node's own socket, and only once.
func (c *Cluster) On(n *Node) grpc.ClientConnInterface {
	return user{c, n, attemptTimeout}
}

// Control returns a connection as the command line has one: it asks any manager
// that can be reached, again while none can answer, and gives each write an
// id so that it is applied once.
func (c *Cluster) Control() grpc.ClientConnInterface {
	return patient{c}
}

// user is a connection to one node.
type user struct {
	cluster *Cluster
	node    *Node
	limit   time.Duration // of one call
}

func (u user) dial() (*grpc.ClientConn, error) {
	n := u.node
	outside := u.cluster.network.host(n.Name, n.addr) // outlives the daemon
	return grpc.NewClient("passthrough:"+socketOf(n.Name), append(rpcerror.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return outside.dial(ctx, n.Name, addr) }),
	)...)
}

// Invoke implements grpc.ClientConnInterface.
func (u user) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	conn, err := u.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, u.limit)
	defer cancel()
	return conn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface. The connection ends with ctx.
func (u user) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, err := u.dial()
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn.NewStream(ctx, desc, method, opts...)
}

// patient asks again.
type patient struct{ cluster *Cluster }

// Invoke implements grpc.ClientConnInterface.
func (p patient) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	md, _ := metadata.FromOutgoingContext(ctx)
	if len(md.Get(call.RequestIDKey)) == 0 {
		ctx = call.WithRequestID(ctx, id.New())
	}
	start := time.Now()
	for {
		err := p.once(ctx, method, args, reply, opts...)
		if !errdefs.IsUnavailable(err) && !errdefs.IsDeadlineExceeded(err) || time.Since(start) > clientPatience {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(clientPause):
		}
		if m, ok := reply.(proto.Message); ok {
			proto.Reset(m)
		}
	}
}

func (p patient) once(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	n, err := p.pick()
	if err != nil {
		return err
	}
	return user{p.cluster, n, attemptTimeout}.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (p patient) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	n, err := p.pick()
	if err != nil {
		return nil, err
	}
	return user{p.cluster, n, attemptTimeout}.NewStream(ctx, desc, method, opts...)
}

// pick returns any manager that is up.
func (p patient) pick() (*Node, error) {
	c := p.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	var up []*Node
	for _, name := range slices.Sorted(maps.Keys(c.Nodes)) {
		if n := c.Nodes[name]; n.manages() && n.life != nil {
			up = append(up, n)
		}
	}
	if len(up) == 0 {
		return nil, fmt.Errorf("no manager is up: %w", errdefs.ErrUnavailable)
	}
	return up[c.rand.IntN(len(up))], nil
}
