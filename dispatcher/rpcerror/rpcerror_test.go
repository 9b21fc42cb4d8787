package rpcerror_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/muster/muster/dispatcher/rpcerror"
	capb "github.com/muster/muster/proto/ca/v1"
)

func TestThereAndBack(t *testing.T) {
	tests := map[string]struct {
		err  error
		is   func(error) bool
		want string
	}{
		"kind at the end":       {fmt.Errorf("service web: %w", errdefs.ErrNotFound), errdefs.IsNotFound, "service web: not found"},
		"kind in a message":     {errdefs.ErrPermissionDenied.WithMessage("only managers may do this"), errdefs.IsPermissionDenied, "only managers may do this"},
		"wrapped message":       {fmt.Errorf("join: %w", errdefs.ErrInvalidArgument.WithMessage("bad token")), errdefs.IsInvalidArgument, "join: bad token"},
		"conflict":              {fmt.Errorf("version 3: %w", errdefs.ErrConflict), errdefs.IsConflict, "version 3: conflict"},
		"conflict in a message": {errdefs.ErrConflict.WithMessage("version 3, not 2"), errdefs.IsConflict, "version 3, not 2"},
		"joined": {
			errors.Join(fmt.Errorf("a: %w", errdefs.ErrNotFound), fmt.Errorf("b: %w", errdefs.ErrNotFound)),
			errdefs.IsNotFound, "a: not found; b: not found",
		},
		"two wrapped": {fmt.Errorf("%w (%w)", errdefs.ErrUnavailable.WithMessage("no leader"), io.ErrUnexpectedEOF), errdefs.IsUnavailable, "no leader (unexpected EOF)"},
		"deadline":    {fmt.Errorf("propose: %w", context.DeadlineExceeded), errdefs.IsDeadlineExceeded, "propose: context deadline exceeded"},
		"no kind":     {errors.New("disk on fire"), errdefs.IsUnknown, "disk on fire"},
		"forwarded": {
			fmt.Errorf("ask the leader: %w", status.Error(codes.NotFound, "service web: not found")),
			errdefs.IsNotFound, "ask the leader: service web: not found",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := rpcerror.FromWire(rpcerror.ToWire(tt.err))
			if !tt.is(got) {
				t.Errorf("%v lost its kind", got)
			}
			if got.Error() != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNothingToTranslate(t *testing.T) {
	for _, err := range []error{nil, io.EOF} {
		if got := rpcerror.FromWire(err); got != err { //nolint:errorlint // identity is the point
			t.Errorf("FromWire(%v) = %v", err, got)
		}
	}
	if err := rpcerror.ToWire(nil); err != nil {
		t.Errorf("ToWire(nil) = %v", err)
	}
}

func TestConnectionErrorsArePlain(t *testing.T) {
	const certificate = "the other side refused this node's certificate: it has expired, belongs to another cluster or to a removed node, or may not use this port"
	tests := map[string]struct{ message, want string }{
		"refused": {
			`connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.1:2377: connect: connection refused"`,
			"dial tcp 10.0.0.1:2377: connect: connection refused",
		},
		"handshake": {
			`connection error: desc = "transport: authentication handshake failed: node \"a\" belongs to another cluster"`,
			`node "a" belongs to another cluster`,
		},
		"while waiting": {
			`latest balancer error: connection error: desc = "transport: Error while dialing: no route to host"`,
			"no route to host",
		},
		"refused certificate": {
			`connection error: desc = "error reading server preface: remote error: tls: bad certificate"`,
			certificate,
		},
		"other text": {"no leader is known", "no leader is known"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := rpcerror.FromWire(status.Error(codes.Unavailable, tt.message))
			kind := errdefs.IsUnavailable
			if tt.want == certificate {
				kind = errdefs.IsPermissionDenied // for good: nobody is to ask again
			}
			if !kind(got) || got.Error() != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// refusing fails every call in its own way.
type refusing struct {
	capb.UnimplementedCAServiceServer
}

func (refusing) GetRootCA(context.Context, *capb.GetRootCARequest) (*capb.GetRootCAResponse, error) {
	return nil, errdefs.ErrUnavailable.WithMessage("this node is no manager")
}

func TestOverAConnection(t *testing.T) {
	l := bufconn.Listen(1 << 16)
	srv := grpc.NewServer(rpcerror.ServerOptions()...)
	capb.RegisterCAServiceServer(srv, refusing{})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	opts := append(rpcerror.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	cc, err := grpc.NewClient("passthrough:///x", opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cc.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()

	client := capb.NewCAServiceClient(cc)
	_, err = client.GetRootCA(ctx, &capb.GetRootCARequest{})
	if !errdefs.IsUnavailable(err) || err.Error() != "this node is no manager" {
		t.Errorf("unary call: %v", err)
	}
	_, err = client.IssueNodeCertificate(ctx, &capb.IssueNodeCertificateRequest{})
	if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "another version") {
		t.Errorf("method nobody implements: %v", err)
	}
	stream, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/ca.v1.CAService/GetRootCA")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&capb.GetRootCARequest{}); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&capb.GetRootCAResponse{}); !errdefs.IsUnavailable(err) || err.Error() != "this node is no manager" {
		t.Errorf("stream: %v", err)
	}
}
