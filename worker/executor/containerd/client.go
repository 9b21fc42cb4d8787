package containerd

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
)

// Namespace of containerd that muster uses unless told otherwise.
const Namespace = "muster"

const (
	// readyTimeout is how long a call waits for a containerd that restarts.
	readyTimeout = 15 * time.Second
	// A killed containerd is back within a second; gRPC's own 1 s to 120 s
	// between attempts would be the longest part of the outage.
	reconnectFirst = 50 * time.Millisecond
	reconnectLast  = time.Second
)

// Connect returns a client of the containerd at address, a Unix socket. It
// does not wait for it: calls do, for at most 15 s each.
func Connect(address, namespace string) (*client.Client, error) {
	// containerd's packages also write what they return as errors to a logger of
	// the whole process.
	if err := log.SetLevel("fatal"); err != nil { //nolint:forbidigo // this turns the log off
		return nil, fmt.Errorf("silence containerd's client: %w", err)
	}
	c, err := client.New(address,
		client.WithDefaultNamespace(namespace),
		client.WithDefaultRuntime(runtimeName),
		client.WithExtraDialOpts([]grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{
					BaseDelay: reconnectFirst, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectLast,
				},
				MinConnectTimeout: 5 * time.Second,
			}),
			grpc.WithChainUnaryInterceptor(awaitUnary),
			grpc.WithChainStreamInterceptor(awaitStream),
		}))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s: %w", address, err)
	}
	return c, nil
}

func awaitUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	if err := await(ctx, cc); err != nil {
		return err
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

func awaitStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if err := await(ctx, cc); err != nil {
		return nil, err
	}
	return open(ctx, desc, cc, method, opts...)
}

// await holds a call back until the connection is there.
func await(ctx context.Context, cc *grpc.ClientConn) error {
	if cc.GetState() == connectivity.Ready {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		state := cc.GetState()
		if state == connectivity.Ready {
			return nil
		}
		cc.Connect()
		if !cc.WaitForStateChange(wait, state) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("containerd does not answer at %s: %w", cc.Target(), errdefs.ErrUnavailable)
		}
	}
}

// retried repeats an idempotent step that a restart of containerd cut short.
func retried(ctx context.Context, step func() error) error {
	const attempts = 4
	var err error
	for i := range attempts {
		if err = native(step()); !errdefs.IsUnavailable(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(i+1) * 100 * time.Millisecond):
		}
	}
	return err
}
