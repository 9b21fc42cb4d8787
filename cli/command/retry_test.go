package command

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/muster/muster/proto/call"
	"github.com/muster/muster/proto/id"
)

const createMethod = "/control.v1.ServiceService/CreateService"

// attempts calls a method that is unavailable for the first failures calls,
// and returns the request id of each and how long all of it took.
func attempts(ctx context.Context, method string, failures int, err error, told *strings.Builder) (ids []string, took time.Duration, last error) {
	start := time.Now()
	invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
		md, _ := metadata.FromOutgoingContext(ctx)
		ids = append(ids, strings.Join(md.Get(call.RequestIDKey), ","))
		if len(ids) <= failures {
			return err
		}
		return nil
	}
	last = identify()(ctx, method, nil, nil, nil, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
		return retryUnavailable(told)(ctx, method, req, reply, cc, invoke, opts...)
	})
	return ids, time.Since(start), last
}

func TestWriteIsRepeatedWithTheSameID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told strings.Builder
		ids, took, err := attempts(t.Context(), createMethod, 3, errdefs.ErrUnavailable, &told)
		if err != nil || len(ids) != 4 {
			t.Fatalf("%d calls: %v, want success with the fourth", len(ids), err)
		}
		for _, got := range ids {
			if !id.Valid(got) || got != ids[0] {
				t.Errorf("request ids %q, want the same valid one", ids)
			}
		}
		if took > 2*time.Second || told.Len() > 0 {
			t.Errorf("took %s and told %q, want it quick and quiet", took, told.String())
		}
	})
}

func TestReadHasNoID(t *testing.T) {
	ids, _, err := attempts(t.Context(), "/control.v1.ServiceService/GetService", 0, nil, new(strings.Builder))
	if err != nil || ids[0] != "" {
		t.Errorf("a read has the request id %q: %v", ids[0], err)
	}
}

func TestRetryIsBoundedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told strings.Builder
		_, took, err := attempts(t.Context(), createMethod, 1<<30, errdefs.ErrUnavailable.WithMessage("no leader"), &told)
		if !errdefs.IsUnavailable(err) || took < retryLimit || took > retryLimit+5*time.Second {
			t.Errorf("after %s: %v, want unavailable after %s", took, err, retryLimit)
		}
		if told.String() != "muster: waiting up to 30s for a manager that leads (no leader)\n" {
			t.Errorf("told %q, want one line", told.String())
		}
	})
}

func TestRetryEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, took, err := attempts(ctx, createMethod, 1<<30, errdefs.ErrUnavailable, new(strings.Builder))
		if !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

func TestWhatIsNotRetried(t *testing.T) {
	tests := map[string]struct {
		method string
		err    error
	}{
		"another error":   {createMethod, errdefs.ErrNotFound},
		"the local node":  {"/node.v1.LocalService/InitCluster", errdefs.ErrUnavailable},
		"another service": {"/logs.v1.LogsService/X", errdefs.ErrUnavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ids, _, err := attempts(t.Context(), tt.method, 1, tt.err, new(strings.Builder))
			if len(ids) != 1 || !errors.Is(err, tt.err) {
				t.Errorf("%d calls: %v, want one call and its error", len(ids), err)
			}
		})
	}
}
