package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/id"
)

const (
	// requestIDKey carries the id by which managers know a repeated write.
	requestIDKey = "muster-request-id"
	// retryLimit bounds how long a command waits for a manager that leads. An
	// election takes about a second; more than this needs a person.
	retryLimit = 30 * time.Second
	// retryQuiet is how long it waits without saying so.
	retryQuiet = 2 * time.Second
)

// isRead reports whether a method changes nothing. Any other is given a
// request id.
func isRead(method string) bool {
	name := method[strings.LastIndex(method, "/")+1:]
	return strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Follow") ||
		strings.HasPrefix(name, "Get")
}

// isControl reports whether method belongs to the control API, which every
// manager answers and which may therefore be asked again.
func isControl(method string) bool {
	return strings.HasPrefix(method, "/control.v1.") && !strings.HasPrefix(method, "/"+controlpb.ImageService_ServiceDesc.ServiceName+"/")
}

// identify gives every write an id, so that one repeated after a lost answer
// is applied once.
func identify() grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if isControl(method) && !isRead(method) {
			ctx = metadata.AppendToOutgoingContext(ctx, requestIDKey, id.New())
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}

// retryUnavailable asks again while no manager can answer, as during a change
// of leader, and tells on w what it waits for.
func retryUnavailable(w io.Writer) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if !isControl(method) {
			return invoke(ctx, method, req, reply, cc, opts...)
		}
		delays := backoff.NewExponentialBackOff()
		delays.InitialInterval, delays.MaxInterval = 100*time.Millisecond, 2*time.Second
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
