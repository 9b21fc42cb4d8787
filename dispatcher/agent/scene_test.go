package agent_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/dispatcher/agent"
	"github.com/muster/muster/dispatcher/dispatchertest"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// scene is one node, n1, and the managers it may find, on a network and a
// clock of its own.
type scene struct {
	t       *testing.T
	network *dispatchertest.Network
	node    *dispatchertest.Worker
	wg      sync.WaitGroup

	mu     sync.Mutex
	dialed []string
	at     []time.Duration // of each dial, since the start of the scene
	start  time.Time
}

func play(t *testing.T, f func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, network: dispatchertest.NewNetwork(), node: dispatchertest.NewWorker("n1"), start: time.Now()}
		defer s.wg.Wait()
		f(s)
	})
}

// dials returns which managers were dialed so far.
func (s *scene) dials() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.dialed, " ")
}

// run runs the agent with what edit changes, knowing of managers. The returned
// function stops it as a daemon's end does, and says how long that took.
func (s *scene) run(edit func(*agent.Config), managers ...string) (stop func() time.Duration) {
	dial := s.network.Dialer("n1")
	cfg := agent.Config{
		Managers: func() []string { return managers },
		Dial: func(ctx context.Context, addr string) (*grpc.ClientConn, error) {
			s.mu.Lock()
			s.dialed, s.at = append(s.dialed, addr), append(s.at, time.Since(s.start))
			s.mu.Unlock()
			return dial(ctx, addr)
		},
		Handler: s.node,
		Log:     slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.wg.Go(func() {
		defer close(done)
		if err := agent.Run(ctx, cfg); err != nil {
			s.t.Errorf("Run = %v, want nil once its context is done", err)
		}
	})
	synctest.Wait()
	return sync.OnceValue(func() time.Duration {
		start := time.Now()
		cancel()
		<-done
		return time.Since(start)
	})
}

type stream = grpc.BidiStreamingServer[dispatchpb.SessionRequest, dispatchpb.SessionResponse]

// manager is what answers at one address. What it was told is kept but for
// heartbeats, which are counted.
type manager struct {
	dispatchpb.UnimplementedDispatcherServiceServer

	// session replaces what a manager that leads does.
	session func(stream) error
	// silent: heartbeats are not echoed. stubborn: a good-bye does not end the
	// session.
	silent, stubborn bool

	mu       sync.Mutex
	sessions int
	beats    int
	heard    []*dispatchpb.SessionRequest
	out      chan *dispatchpb.SessionResponse // of the last session
}

// manager runs one at addr until the test ends or the returned function is
// called.
func (s *scene) manager(addr string, m *manager) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.wg.Go(func() {
		defer close(done)
		err := s.network.Serve(ctx, addr, func(srv *grpc.Server) { dispatchpb.RegisterDispatcherServiceServer(srv, m) })
		if err != nil {
			s.t.Error(err)
		}
	})
	synctest.Wait()
	return func() { cancel(); <-done }
}

// Session implements the wire.
func (m *manager) Session(str stream) error {
	m.mu.Lock()
	m.sessions++
	out := make(chan *dispatchpb.SessionResponse, 16)
	m.out = out
	m.mu.Unlock()
	if m.session != nil {
		return m.session(str)
	}
	if _, err := str.Recv(); err != nil {
		return err
	}
	if err := str.Send(registered()); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- m.listen(str, out) }()
	for {
		select {
		case msg := <-out:
			if err := str.Send(msg); err != nil {
				return err
			}
		case err := <-ended:
			return err
		}
	}
}

// listen keeps what the node says until it ends its side or says good-bye.
func (m *manager) listen(str stream, out chan<- *dispatchpb.SessionResponse) error {
	for {
		msg, err := str.Recv()
		if errors.Is(err, io.EOF) && m.stubborn {
			<-str.Context().Done()
			return str.Context().Err()
		}
		if err != nil {
			return err
		}
		m.mu.Lock()
		if msg.GetHeartbeat() == nil {
			m.heard = append(m.heard, msg)
		} else if m.beats++; !m.silent {
			out <- heartbeat()
		}
		m.mu.Unlock()
		if msg.GetGoodbye() != nil && !m.stubborn {
			return nil
		}
	}
}

// say sends a message in the last session.
func (m *manager) say(msg *dispatchpb.SessionResponse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out <- msg
}

// view returns how many sessions and heartbeats there were, and what else the
// node said.
func (m *manager) view() (sessions, beats int, heard []*dispatchpb.SessionRequest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions, m.beats, slices.Clone(m.heard)
}

func (m *manager) connected() int { n, _, _ := m.view(); return n }

func (m *manager) saidGoodbye() bool {
	_, _, heard := m.view()
	return slices.ContainsFunc(heard, func(msg *dispatchpb.SessionRequest) bool { return msg.GetGoodbye() != nil })
}

// redirects is a manager that does not lead, and takes leader for who does.
func redirects(leader string) *manager {
	return &manager{session: func(str stream) error { return str.Send(redirect(leader)) }}
}

func registered() *dispatchpb.SessionResponse {
	return &dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Registered{
		Registered: &dispatchpb.Registered{SessionId: "s", HeartbeatPeriod: durationpb.New(time.Second)},
	}}
}

func redirect(leader string) *dispatchpb.SessionResponse {
	return &dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Redirect{Redirect: &dispatchpb.Redirect{LeaderAddr: leader}}}
}

func heartbeat() *dispatchpb.SessionResponse {
	return &dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Heartbeat{Heartbeat: &dispatchpb.Heartbeat{}}}
}

func assignments(a *dispatchpb.Assignments) *dispatchpb.SessionResponse {
	return &dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Assignments{Assignments: a}}
}
