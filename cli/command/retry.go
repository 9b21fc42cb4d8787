package command

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/proto/call"
	"github.com/muster/muster/proto/id"
)

const (
	// retryLimit bounds how long a command waits for a manager that leads. An
	// election takes about a second; more than this needs a person.
	retryLimit = 30 * time.Second
	// retryQuiet is how long it waits without saying so.
	retryQuiet = 2 * time.Second
)

// identify gives every write that the leader answers an id, so that one
// repeated after a lost answer is applied once.
func identify() grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if rule, _ := call.Lookup(method); rule.Leader && rule.Write {
			ctx = call.WithRequestID(ctx, id.New())
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}

// retryUnavailable asks again what the leader answers while no manager can, as
// during a change of leader, and tells on w what it waits for.
func retryUnavailable(w io.Writer) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if rule, _ := call.Lookup(method); !rule.Leader {
			return invoke(ctx, method, req, reply, cc, opts...)
		}
		delays := backoff.NewExponentialBackOff()
		// Slowly at first: an election is over within a second or two.
		delays.InitialInterval, delays.Multiplier, delays.MaxInterval = 100*time.Millisecond, 1.2, 2*time.Second
		start, told := time.Now(), false
		for {
			err := invoke(ctx, method, req, reply, cc, opts...)
			waited := time.Since(start)
			if !errdefs.IsUnavailable(err) || waited >= retryLimit {
				if errdefs.IsUnavailable(err) {
					return fmt.Errorf("no manager could answer in %s: %w", retryLimit, err)
				}
				return err
			}
			if !told && waited >= retryQuiet {
				told = true
				fmt.Fprintf(w, "muster: waiting up to %s for a manager that leads (%s)\n", retryLimit, Text(err))
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(delays.NextBackOff()):
			}
		}
	}
}
