package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/muster/muster/dispatcher/mtls"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// leader answers and remembers who asked.
type leader struct {
	controlpb.UnimplementedServiceServiceServer
	callers []Caller
}

func (l *leader) GetService(ctx context.Context, r *controlpb.GetServiceRequest) (*controlpb.GetServiceResponse, error) {
	c, _ := Forwarded(ctx)
	l.callers = append(l.callers, c)
	if id, _ := mtls.PeerIdentity(ctx); id != c.Identity {
		return nil, status.Errorf(codes.Internal, "handlers see %+v for %+v", id, c.Identity)
	}
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

// through returns a client whose calls pass two forwarding servers.
func through(t *testing.T, l *leader, who Caller) controlpb.Client {
	t.Helper()
	conn := serve(t, func(s *grpc.Server) { controlpb.RegisterServiceServiceServer(s, l) }, ServerOptions()...)
	for range 2 {
		next := conn
		direct := func(context.Context, string) (*grpc.ClientConn, error) { return next, nil }
		conn = serve(t, func(*grpc.Server) {},
			grpc.ForceServerCodecV2(Codec()),
			grpc.UnknownServiceHandler(Handler(direct, func(ctx context.Context) Caller {
				if c, ok := Forwarded(ctx); ok {
					return c
				}
				return who
			})))
	}
	return controlpb.NewClient(conn)
}

func TestForwardsAnswersErrorsAndCaller(t *testing.T) {
	l := &leader{}
	who := Caller{Identity: mtls.Identity{NodeID: "n1", ClusterID: "c", Role: clusterpb.NodeRole_NODE_ROLE_MANAGER}, Addr: "192.0.2.1:5"}
	client := through(t, l, who)

	name := strings.Repeat("x", 1<<20) // larger than any buffer on the way
	resp, err := client.GetService(t.Context(), &controlpb.GetServiceRequest{Service: name})
	if err != nil || resp.GetService().GetId() != name {
		t.Fatalf("answer of %d bytes, %v", len(resp.GetService().GetId()), err)
	}
	if _, err := client.GetService(t.Context(), &controlpb.GetServiceRequest{Service: "none"}); status.Code(err) != codes.NotFound || status.Convert(err).Message() != "no service none" {
		t.Errorf("error %v", err)
	}
	for _, c := range l.callers {
		if c != who {
			t.Errorf("the leader saw %+v, want %+v", c, who)
		}
	}
}

func TestForwardsStreams(t *testing.T) {
	client := through(t, &leader{}, Caller{Local: true})
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
	client := through(t, &leader{}, Caller{Local: true})
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
	conn := serve(t, func(*grpc.Server) {},
		grpc.ForceServerCodecV2(Codec()),
		grpc.UnknownServiceHandler(Handler(
			func(context.Context, string) (*grpc.ClientConn, error) {
				return nil, status.Error(codes.Unavailable, errdefs.ErrUnavailable.Error())
			},
			func(context.Context) Caller { return Caller{} })))
	_, err := controlpb.NewClient(conn).ListNodes(t.Context(), &controlpb.ListNodesRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("error %v, want unavailable", err)
	}
}

// TestCutOffIsUnavailable: the manager closes its connection to the old leader
// when there is a new one, and clients ask again for what was under way.
func TestCutOffIsUnavailable(t *testing.T) {
	next := serve(t, func(s *grpc.Server) { controlpb.RegisterServiceServiceServer(s, &leader{}) }, ServerOptions()...)
	conn := serve(t, func(*grpc.Server) {},
		grpc.ForceServerCodecV2(Codec()),
		grpc.UnknownServiceHandler(Handler(
			func(context.Context, string) (*grpc.ClientConn, error) { return next, nil },
			func(context.Context) Caller { return Caller{Local: true} })))
	client := controlpb.NewClient(conn)
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
	if _, err := client.ListNodes(t.Context(), &controlpb.ListNodesRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a new call ended with %v, want unavailable", err)
	}
}

func TestForwardedRefusesHalfAnIdentity(t *testing.T) {
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(keyNode, "n1"))
	if c, ok := Forwarded(ctx); ok {
		t.Errorf("believed %+v", c)
	}
}
