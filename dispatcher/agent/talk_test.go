package agent_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/dispatcher/agent"
	"github.com/muster/muster/dispatcher/dispatchertest"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
)

func TestMessagesReachTheHandler(t *testing.T) {
	play(t, func(s *scene) {
		m1 := &manager{}
		defer s.manager("m1", m1)()
		defer s.run(nil, "m1")()
		m1.say(assignments(&dispatchpb.Assignments{Index: 7, Full: true}))
		m1.say(&dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Recorded{Recorded: &dispatchpb.StatusesRecorded{Sequence: 3}}})
		m1.say(&dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Logs{Logs: &dispatchpb.LogSubscription{Id: "l"}}})
		synctest.Wait()
		v := s.node.View()
		if v.Index != 7 || v.Recorded != 3 || len(v.Logs) != 1 || v.Logs[0].GetId() != "l" {
			t.Errorf("the handler was told index %d, recorded %d and logs %v", v.Index, v.Recorded, v.Logs)
		}
		_, _, heard := m1.view()
		if len(heard) != 1 || heard[0].GetAcknowledge().GetIndex() != 7 {
			t.Errorf("the manager heard %v, want index 7 acknowledged", heard)
		}
	})
}

// TestHeartbeats counts them over a minute.
func TestHeartbeats(t *testing.T) {
	play(t, func(s *scene) {
		m1 := &manager{}
		defer s.manager("m1", m1)()
		defer s.run(nil, "m1")()
		count := func(d time.Duration) int {
			_, before, _ := m1.view()
			time.Sleep(d)
			_, after, _ := m1.view()
			return after - before
		}
		time.Sleep(time.Millisecond)
		if n := count(time.Minute); n != 60 {
			t.Errorf("%d heartbeats in a minute, want one a second", n)
		}
		// A heartbeat that answers none is a question.
		m1.say(heartbeat())
		if n := count(10 * time.Millisecond); n != 1 {
			t.Errorf("%d heartbeats at once when asked, want 1", n)
		}
		settings := &dispatchpb.Settings{HeartbeatPeriod: durationpb.New(5 * time.Second)}
		m1.say(assignments(&dispatchpb.Assignments{Index: 7, Full: true, Settings: settings}))
		if n := count(61 * time.Second); n != 12 {
			t.Errorf("%d heartbeats in a minute, want one in 5 s once the cluster says so", n)
		}
		if n := m1.connected(); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
	})
}

// list is the managers that are known now.
type list struct {
	mu    sync.Mutex
	addrs []string
}

func (l *list) set(addrs ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addrs = addrs
}

func (l *list) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addrs
}

// TestSilentManagerIsLeft: a connection may be dead although nothing says so.
func TestSilentManagerIsLeft(t *testing.T) {
	tests := map[string]struct {
		m1     *manager
		before func(*scene) // the node looks for a manager
		after  func(*scene) // it has a session with m1
		within time.Duration
	}{
		"no bytes pass before there is a connection": {
			&manager{}, func(s *scene) { s.network.Stall("n1", "m1") }, nil, 1500 * time.Millisecond,
		},
		"nobody answers the registration": {
			&manager{session: func(str stream) error { <-str.Context().Done(); return nil }}, nil, nil, 5 * time.Second,
		},
		// Writes block here, as with a full buffer of the kernel, and gRPC gives
		// such a connection 5 s more to close.
		"no bytes pass any more": {
			&manager{}, nil, func(s *scene) { s.network.Stall("n1", "m1") }, (4 + 5) * time.Second,
		},
		"it reads and does not answer": {
			&manager{silent: true}, nil, nil, 4 * time.Second,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				m2, m3 := &manager{}, &manager{}
				defer s.manager("m1", tt.m1)()
				defer s.manager("m2", m2)()
				defer s.manager("m3", m3)()
				defer s.network.Heal("n1")
				if tt.before != nil {
					tt.before(s)
				}
				known := &list{addrs: []string{"m1"}}
				defer s.run(func(c *agent.Config) { c.Managers = known.get })()
				if tt.after != nil {
					if tt.m1.connected() != 1 {
						t.Fatal("no session with m1")
					}
					tt.after(s)
				}
				known.set("m1", "m2", "m3")
				start := time.Now()
				for m2.connected()+m3.connected() == 0 && time.Since(start) < time.Minute {
					time.Sleep(10 * time.Millisecond)
				}
				// m1 is not tried again before the others: that would take the time in
				// which they could have been told that the node lives.
				if took := time.Since(start); took > tt.within+time.Second {
					t.Errorf("another has a session after %v, want %v and one pause at most", took, tt.within)
				}
			})
		})
	}
}

// resender says what is not recorded again in each session, as workers do.
type resender struct {
	*dispatchertest.Worker
	mu       sync.Mutex
	recorded uint64
	said     bool
	due      chan struct{}
}

func (r *resender) Connected(ctx context.Context, conn grpc.ClientConnInterface) {
	r.mu.Lock()
	r.said = false
	r.mu.Unlock()
	r.Worker.Connected(ctx, conn)
}

func (r *resender) Outgoing() []*dispatchpb.SessionRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.said || r.recorded >= 1 {
		return nil
	}
	r.said = true
	return []*dispatchpb.SessionRequest{{Kind: &dispatchpb.SessionRequest_Statuses{Statuses: &dispatchpb.ReportStatuses{
		Sequence: 1, Reports: []*dispatchpb.TaskReport{{TaskId: "t1"}},
	}}}}
}

func (r *resender) Due() <-chan struct{} { return r.due }

func (r *resender) Recorded(sequence uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recorded = sequence
}

// TestUnrecordedIsSaidAgain: a handler is asked what there is to say at the
// beginning of each session, without anything new to wake it.
func TestUnrecordedIsSaidAgain(t *testing.T) {
	play(t, func(s *scene) {
		m1 := &manager{}
		defer s.manager("m1", m1)()
		node := &resender{Worker: s.node, due: make(chan struct{})}
		defer s.run(func(c *agent.Config) { c.Handler = node }, "m1")()
		reports := func() (n int) {
			_, _, heard := m1.view()
			for _, msg := range heard {
				n += len(msg.GetStatuses().GetReports())
			}
			return n
		}
		for session := 1; session <= 3; session++ {
			if m1.connected() != session || reports() != session {
				t.Fatalf("session %d: %d sessions with %d reports in all", session, m1.connected(), reports())
			}
			if session == 3 {
				m1.say(&dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Recorded{Recorded: &dispatchpb.StatusesRecorded{Sequence: 1}}})
				synctest.Wait()
			}
			s.network.Break("n1")
			time.Sleep(time.Second)
		}
		if m1.connected() != 4 || reports() != 3 {
			t.Errorf("%d reports in %d sessions, want none once they were recorded", reports(), m1.connected())
		}
	})
}

// refuser refuses assignments until it was asked to apply n.
type refuser struct {
	*dispatchertest.Worker
	n int
}

func (r *refuser) Assignments(a *dispatchpb.Assignments) error {
	if r.n--; r.n >= 0 {
		return errdefs.ErrFailedPrecondition
	}
	return r.Worker.Assignments(a)
}

// failing cannot describe its node for the first n times.
type failing struct {
	*dispatchertest.Worker
	n int
}

func (f *failing) Register(ctx context.Context) (*dispatchpb.Register, error) {
	if f.n--; f.n >= 0 {
		return nil, errors.New("no address")
	}
	return f.Worker.Register(ctx)
}

// TestSessionBeginsAnew: what goes wrong in a session costs that session, and
// the next one begins soon.
func TestSessionBeginsAnew(t *testing.T) {
	empty := &dispatchpb.SessionResponse{}
	first := func(answer *dispatchpb.SessionResponse) func(stream) error {
		return func(str stream) error {
			if _, err := str.Recv(); err != nil {
				return err
			}
			return str.Send(answer)
		}
	}
	tests := map[string]struct {
		m1       *manager
		handler  func(*dispatchertest.Worker) agent.Handler
		say      *dispatchpb.SessionResponse
		sessions int // at m1, a second later
		accepted int // of those
	}{
		"nothing goes wrong":                {&manager{}, nil, nil, 1, 1},
		"a message of no known kind":        {&manager{}, nil, empty, 1, 1},
		"a second registration":             {&manager{}, nil, registered(), 1, 1},
		"assignments that do not fit":       {&manager{}, func(w *dispatchertest.Worker) agent.Handler { return &refuser{w, 1} }, assignments(&dispatchpb.Assignments{Base: 9}), 2, 2},
		"a node that cannot say who it is":  {&manager{}, func(w *dispatchertest.Worker) agent.Handler { return &failing{w, 1} }, nil, 1, 1},
		"a leader that hands over":          {&manager{}, nil, redirect(""), 2, 2},
		"a first answer of no known kind":   {&manager{session: first(empty)}, nil, nil, 4, 0},
		"a first answer that is no welcome": {&manager{session: first(assignments(&dispatchpb.Assignments{Full: true}))}, nil, nil, 4, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				defer s.manager("m1", tt.m1)()
				defer s.run(func(c *agent.Config) {
					if tt.handler != nil {
						c.Handler = tt.handler(s.node)
					}
				}, "m1")()
				if tt.say != nil {
					tt.m1.say(tt.say)
				}
				time.Sleep(time.Second)
				sessions, accepted := tt.m1.connected(), s.node.View().Sessions
				if accepted != tt.accepted || sessions < min(tt.sessions, 3) || sessions > tt.sessions+2 {
					t.Errorf("%d sessions, %d of them accepted, want about %d and %d", sessions, accepted, tt.sessions, tt.accepted)
				}
			})
		})
	}
}

// TestNewLeaderIsFollowed: the redirect of a leader that hands over names the
// next one, which need not be known.
func TestNewLeaderIsFollowed(t *testing.T) {
	play(t, func(s *scene) {
		m1, m2 := &manager{}, &manager{}
		defer s.manager("m1", m1)()
		defer s.manager("m2", m2)()
		defer s.run(nil, "m1")()
		m1.say(redirect("m2"))
		synctest.Wait()
		if m2.connected() != 1 || s.node.View().Sessions != 2 {
			t.Error("the new leader has no session at once")
		}
	})
}

// TestReadsWhileItCannotSend: flow control of a manager that reads nothing
// must not stop the node from hearing it.
func TestReadsWhileItCannotSend(t *testing.T) {
	play(t, func(s *scene) {
		deaf := &manager{session: func(str stream) error {
			if _, err := str.Recv(); err != nil {
				return err
			}
			if err := str.Send(registered()); err != nil {
				return err
			}
			time.Sleep(time.Second)
			for i := range 10 {
				if err := str.Send(assignments(&dispatchpb.Assignments{Index: uint64(i), Full: true})); err != nil {
					return err
				}
				time.Sleep(time.Second)
			}
			return nil
		}}
		defer s.manager("m1", deaf)()
		defer s.run(nil, "m1")()
		for range 5000 { // more than fits on the way
			s.node.Report(1, "a task with a long name that fills what flow control allows", lifecycle.Running)
		}
		time.Sleep(11 * time.Second)
		if v := s.node.View(); v.Index != 9 || v.Sessions != 1 {
			t.Errorf("heard index %d in %d sessions, want 9 in 1", v.Index, v.Sessions)
		}
	})
}

// TestBeatsWhileItsDiskHangs: a handler that takes its time, as for a disk, keeps
// the node neither from telling that it lives nor from the next leader.
func TestBeatsWhileItsDiskHangs(t *testing.T) {
	play(t, func(s *scene) {
		m1, m2 := &manager{}, &manager{}
		defer s.manager("m1", m1)()
		defer s.manager("m2", m2)()
		defer s.run(nil, "m1")()
		thaw := s.node.Slow()
		for i := range 30 {
			m1.say(assignments(&dispatchpb.Assignments{Index: uint64(i), Full: true}))
			time.Sleep(time.Second)
		}
		if sessions, beats, _ := m1.view(); sessions != 1 || beats < 29 {
			t.Errorf("%d sessions and %d heartbeats in 30 s", sessions, beats)
		}
		m1.say(redirect("m2"))
		synctest.Wait()
		m2.say(assignments(&dispatchpb.Assignments{Index: 99, Full: true}))
		time.Sleep(10 * time.Second)
		if sessions, beats, _ := m2.view(); sessions != 1 || beats < 9 {
			t.Errorf("%d sessions and %d heartbeats with the next leader", sessions, beats)
		}
		thaw()
		synctest.Wait()
		if got := s.node.View().Messages; len(got) != 2 || got[1].GetIndex() != 99 {
			t.Errorf("took %v once the disk answered", got)
		}
	})
}

// TestNodeThatFellBehindBeginsAnew once its disk answers.
func TestNodeThatFellBehindBeginsAnew(t *testing.T) {
	play(t, func(s *scene) {
		m1 := &manager{}
		defer s.manager("m1", m1)()
		defer s.run(nil, "m1")()
		thaw := s.node.Slow()
		for i := range 30 {
			m1.say(assignments(&dispatchpb.Assignments{Index: uint64(i), Full: true}))
			synctest.Wait()
		}
		thaw()
		time.Sleep(time.Second)
		if n := m1.connected(); n != 2 || len(s.node.View().Messages) != 1 {
			t.Errorf("%d sessions, %d messages taken", n, len(s.node.View().Messages))
		}
	})
}

func TestGoodbye(t *testing.T) {
	tests := map[string]struct {
		m1       *manager
		stall    bool
		said     bool
		min, max time.Duration // of the stop
	}{
		"heard at once": {&manager{}, false, true, 0, 0},
		// A second for the session, and two to find who records it.
		"heard, and not recorded": {&manager{stubborn: true}, false, true, 3 * time.Second, 3 * time.Second},
		// gRPC gives a connection whose writes block 5 s more to close.
		"no bytes pass":       {&manager{}, true, false, time.Second, 8 * time.Second},
		"nobody to say it to": {&manager{session: func(str stream) error { <-str.Context().Done(); return nil }}, false, false, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				defer s.manager("m1", tt.m1)()
				stop := s.run(nil, "m1")
				time.Sleep(100 * time.Millisecond)
				if tt.stall {
					s.network.Stall("n1")
				}
				took := stop()
				if tt.m1.saidGoodbye() != tt.said || took < tt.min || took > tt.max {
					t.Errorf("said good-bye: %v, after %v, want %v after %v to %v", tt.m1.saidGoodbye(), took, tt.said, tt.min, tt.max)
				}
				s.network.Heal("n1")
			})
		})
	}
	t.Run("while it waits to try again", func(t *testing.T) {
		play(t, func(s *scene) {
			stop := s.run(nil, "m1")
			time.Sleep(10 * time.Second)
			if took := stop(); took > 0 {
				t.Errorf("the stop took %v", took)
			}
		})
	})
}
