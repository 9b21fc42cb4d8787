package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/muster/muster/proto/call"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// registerTimeout bounds how long a worker may take to say who it is, and the
// leader to write it down.
const registerTimeout = 5 * time.Second

// Config is what a Server needs. All fields are required.
type Config struct {
	Store Store
	// Leader returns the control address, HOST:PORT, of the manager that leads
	// now, or "" when that is not known.
	Leader func() string
	Log    *slog.Logger
}

// Server is the dispatcher of one manager.
type Server struct {
	dispatchpb.UnimplementedDispatcherServiceServer

	cfg Config

	mu   sync.Mutex
	term *term // nil while another manager leads
}

// New returns a Server that redirects until Lead is called.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Lead serves the nodes' sessions until ctx is done, which is how leadership
// ends. Call it after the raft barrier: State must hold everything earlier
// leaders committed. It returns nil on cancel, once every session has ended.
func (s *Server) Lead(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	t := newTerm(ctx, s.cfg)
	defer t.close()

	g.Go(func() error { return t.planLoop(ctx) })
	g.Go(func() error { return t.leaseLoop(ctx) })
	g.Go(func() error { return t.statusLoop(ctx) })

	s.mu.Lock()
	s.term = t
	s.mu.Unlock()
	err := g.Wait()
	s.mu.Lock()
	s.term = nil
	s.mu.Unlock()
	t.sessions.Wait()
	return err
}

func (s *Server) leading() *term {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.term
}

// Suspect is gossip's hint that a node may be lost. It is never a verdict: it
// makes the leader ask the node, or wait less for one whose stream broke.
func (s *Server) Suspect(nodeID string) {
	if t := s.leading(); t != nil {
		t.nodes.suspect(nodeID)
	}
}

// SubscribeLogs hands a log subscription to a node's session. Unavailable
// when the node is not connected or another manager leads.
func (s *Server) SubscribeLogs(nodeID string, sub *dispatchpb.LogSubscription) error {
	if t := s.leading(); t != nil {
		if sess, _ := t.nodes.session(nodeID); sess != nil {
			sess.post(func(o *outbox) { o.logs = append(o.logs, sub) })
			return nil
		}
	}
	return fmt.Errorf("node %s is not connected: %w", nodeID, errdefs.ErrUnavailable)
}

// Connected reports whether the node has a session with this manager.
func (s *Server) Connected(nodeID string) bool {
	t := s.leading()
	if t == nil {
		return false
	}
	sess, _ := t.nodes.session(nodeID)
	return sess != nil
}

// Session implements the wire; see dispatch.proto.
func (s *Server) Session(stream grpc.BidiStreamingServer[dispatchpb.SessionRequest, dispatchpb.SessionResponse]) error {
	nodeID, err := call.Node(stream.Context())
	if err != nil {
		return fmt.Errorf("identify node: %w", err)
	}
	t := s.leading()
	if t == nil || !t.enter() {
		return stream.Send(redirect(s.cfg.Leader()))
	}
	defer t.sessions.Done()
	return t.serve(stream, nodeID)
}

func redirect(leader string) *dispatchpb.SessionResponse {
	return &dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Redirect{
		Redirect: &dispatchpb.Redirect{LeaderAddr: leader},
	}}
}
