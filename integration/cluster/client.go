package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/proto/call"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/id"
)

const (
	// clientPatience bounds how long a client asks again.
	clientPatience = 60 * time.Second
	// clientPause is how long it waits in between.
	clientPause = 100 * time.Millisecond
	// attemptTimeout bounds one attempt.
	attemptTimeout = 15 * time.Second
)

// On returns a client that asks one node's own socket, and only once.
func (c *Cluster) On(n *Node) controlpb.Client {
	return controlpb.NewClient(user{cluster: c, node: n})
}

// Control returns a client as the command line is one: it asks any manager
// that can be reached, again while none can answer, and gives each write an
// id so that it is applied once.
func (c *Cluster) Control() controlpb.Client {
	return controlpb.NewClient(patient{c})
}

// user is a connection to one node.
type user struct {
	cluster *Cluster
	node    *Node
}

func (u user) dial() (*grpc.ClientConn, error) {
	return u.cluster.network.client(caller{node: u.node.ID}, addrOf(u.node.ID), rpcerror.DialOptions()...)
}

// Invoke implements grpc.ClientConnInterface.
func (u user) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	conn, err := u.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
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
	return user{cluster: p.cluster, node: n}.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (p patient) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	n, err := p.pick()
	if err != nil {
		return nil, err
	}
	return user{cluster: p.cluster, node: n}.NewStream(ctx, desc, method, opts...)
}

// pick returns any manager that is up.
func (p patient) pick() (*Node, error) {
	c := p.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	var up []*Node
	for i := range c.cfg.Managers {
		if n := c.Nodes[fmt.Sprintf("m%d", i+1)]; n.life != nil {
			up = append(up, n)
		}
	}
	if len(up) == 0 {
		return nil, fmt.Errorf("no manager is up: %w", errdefs.ErrUnavailable)
	}
	return up[c.rand.IntN(len(up))], nil
}
