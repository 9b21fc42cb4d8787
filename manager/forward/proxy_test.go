package forward

import (
	"context"
	"errors"
	"fmt"
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

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// leader answers and remembers who asked.
type leader struct {
	controlpb.UnimplementedServiceServiceServer
	callers []call.Principal
}

func (l *leader) GetService(ctx context.Context, r *controlpb.GetServiceRequest) (*controlpb.GetServiceResponse, error) {
	l.callers = append(l.callers, call.From(ctx))
	if r.GetService() == "none" {
		return nil, status.Error(codes.NotFound, "no service none")
	}
	return &controlpb.GetServiceResponse{Service: &clusterpb.Service{Id: r.GetService()}}, nil
}

func (l *leader) FollowService(r *controlpb.FollowServiceRequest, s grpc.ServerStreamingServer[controlpb.FollowServiceResponse]) error {
	for i := range 3 {
		if err := s.Send(&controlpb.FollowServiceResponse{Service: &clusterpb.Service{Id: fmt.Sprint(r.GetService(), i)}}); err != nil {
			return err
		}
	}
	if r.GetService() == "endless" {
		<-s.Context().Done()
	}
	return nil
}

// serve runs a server in this process and returns a connection to it.
func serve(t *testing.T, register func(*grpc.Server), opts ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	s := grpc.NewServer(opts...)
	register(s)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:server",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// root is the user of a manager.
var root = call.Principal{Kind: call.Local, NodeID: "m2", ClusterID: "c", Addr: "192.0.2.1:5"}

// manages is a manager that hands on.
var manages = call.Principal{Kind: call.Manager, NodeID: "m2", ClusterID: "c", Expires: time.Unix(1<<40, 0)}

// front is a server that hands calls of a peer on.
func front(t *testing.T, peer call.Principal, next Director) *grpc.ClientConn {
	t.Helper()
	gate := mtls.Gate{Peer: func(context.Context) (call.Principal, error) { return peer, nil }}
	return serve(t, func(*grpc.Server) {},
		append(gate.ServerOptions(), grpc.ForceServerCodecV2(Codec()), grpc.UnknownServiceHandler(Handler(next)))...)
}

func to(conn *grpc.ClientConn) Director {
	return func(context.Context) (*grpc.ClientConn, error) { return conn, nil }
}

// inside is the server that only those in front reach.
func inside(t *testing.T, l *leader) *grpc.ClientConn {
	t.Helper()
	return serve(t, func(s *grpc.Server) { controlpb.RegisterServiceServiceServer(s, l) },
		mtls.Gate{Peer: call.Forwarded}.ServerOptions()...)
}

// through returns a client whose calls pass two forwarding servers: that of a
// node, whose user it is, and that of the manager which leads.
func through(t *testing.T, l *leader, who call.Principal) controlpb.ServiceServiceClient {
	t.Helper()
	return controlpb.NewServiceServiceClient(front(t, who, to(front(t, manages, to(inside(t, l))))))
}

func TestForwardsAnswersErrorsAndCaller(t *testing.T) {
	l := &leader{}
	client := through(t, l, root)

	name := strings.Repeat("x", 100<<10) // larger than any buffer on the way
	resp, err := client.GetService(t.Context(), &controlpb.GetServiceRequest{Service: name})
	if err != nil || resp.GetService().GetId() != name {
		t.Fatalf("answer of %d bytes, %v", len(resp.GetService().GetId()), err)
	}
	if _, err := client.GetService(t.Context(), &controlpb.GetServiceRequest{Service: "none"}); status.Code(err) != codes.NotFound || status.Convert(err).Message() != "no service none" {
		t.Errorf("error %v", err)
	}
	for _, c := range l.callers {
		if c != root {
			t.Errorf("the leader saw %+v, want %+v", c, root)
		}
	}
}

func TestForwardsStreams(t *testing.T) {
	client := through(t, &leader{}, root)
	stream, err := client.FollowService(t.Context(), &controlpb.FollowServiceRequest{Service: "web"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		resp, err := stream.Recv()
		if err != nil {
			break
		}
		if want := fmt.Sprint("web", n); resp.GetService().GetId() != want {
			t.Errorf("message %d is %q, want %q", n, resp.GetService().GetId(), want)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

func TestCallerGoingAwayEndsTheStream(t *testing.T) {
	client := through(t, &leader{}, root)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := client.FollowService(ctx, &controlpb.FollowServiceRequest{Service: "endless"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Canceled {
		t.Errorf("after cancelling: %v", err)
	}
	// The servers stop in cleanup, which would hang if a stream were left.
}

func TestNoLeaderIsAnError(t *testing.T) {
	conn := front(t, root, func(context.Context) (*grpc.ClientConn, error) {
		return nil, status.Error(codes.Unavailable, errdefs.ErrUnavailable.Error())
	})
	_, err := controlpb.NewNodeServiceClient(conn).ListNodes(t.Context(), &controlpb.ListNodesRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("error %v, want unavailable", err)
	}
}

// TestCutOffIsUnavailable: the manager closes its connection to the old leader
// when there is a new one, and clients ask again for what was under way.
func TestCutOffIsUnavailable(t *testing.T) {
	next := inside(t, &leader{})
	conn := front(t, root, to(next))
	client := controlpb.NewServiceServiceClient(conn)
	stream, err := client.FollowService(t.Context(), &controlpb.FollowServiceRequest{Service: "endless"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a call under way ended with %v, want unavailable", err)
	}
	if _, err := controlpb.NewNodeServiceClient(conn).ListNodes(t.Context(), &controlpb.ListNodesRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a new call ended with %v, want unavailable", err)
	}
}

// TestOnlyTheLeadersMethodsAreHandedOn: another node's answer would be about
// that node.
func TestOnlyTheLeadersMethodsAreHandedOn(t *testing.T) {
	conn := front(t, root, func(context.Context) (*grpc.ClientConn, error) {
		t.Error("handed on")
		return nil, errdefs.ErrUnavailable
	})
	_, err := controlpb.NewImageServiceClient(conn).ListImages(t.Context(), &controlpb.ListImagesRequest{})
	if err == nil || !strings.Contains(err.Error(), "this node does not answer /control.v1.ImageService/ListImages") {
		t.Errorf("got %v", err)
	}
}

// TestClaimsOfCallersAreNotHandedOn: what a worker says of itself ends where
// its call comes in.
func TestClaimsOfCallersAreNotHandedOn(t *testing.T) {
	l := &leader{}
	claim, err := call.Forward(call.NewContext(t.Context(), root))
	if err != nil {
		t.Fatal(err)
	}
	worker := call.Principal{Kind: call.Worker, NodeID: "w1", ClusterID: "c", Expires: time.Unix(1<<40, 0)}
	if _, err := through(t, l, worker).GetService(claim, &controlpb.GetServiceRequest{Service: "web"}); err == nil || len(l.callers) > 0 {
		t.Errorf("a worker that claims to be root: %v, the leader saw %v", err, l.callers)
	}
	other := call.Principal{Kind: call.Local, NodeID: "m3", ClusterID: "c"}
	if _, err := through(t, l, other).GetService(claim, &controlpb.GetServiceRequest{Service: "web"}); err != nil || l.callers[0] != other {
		t.Errorf("a root that claims to be another: %v, the leader saw %v", err, l.callers)
	}
}
