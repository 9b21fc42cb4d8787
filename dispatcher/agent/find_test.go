package agent_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/agent"
)

// TestFindsTheLeader says which managers are dialed, in which order, until one
// takes the session.
func TestFindsTheLeader(t *testing.T) {
	local := func(addr string) func(*agent.Config) { return func(c *agent.Config) { c.Local = addr } }
	tests := map[string]struct {
		managers map[string]*manager
		edit     func(*agent.Config)
		known    []string
		want     string // dialed; the last one has the session
	}{
		"the local one first": {
			map[string]*manager{"m1": {}, "m2": {}, "m3": {}}, local("m2"), []string{"m1", "m2", "m3"}, "m2",
		},
		"the local one, though nobody names it": {
			map[string]*manager{"m1": {}, "m2": {}}, local("m2"), []string{"m1"}, "m2",
		},
		"another when the local one is down": {
			map[string]*manager{"m1": {}}, local("m2"), []string{"m1", "m2"}, "m2 m1",
		},
		"where it is sent": {
			map[string]*manager{"m1": redirects("m3"), "m3": {}}, nil, []string{"m1"}, "m1 m3",
		},
		"twice": {
			map[string]*manager{"m1": redirects("m2"), "m2": redirects("m3"), "m3": {}}, nil, []string{"m1"}, "m1 m2 m3",
		},
		"another when sent to one that is down": {
			map[string]*manager{"m1": redirects("m9"), "m2": {}}, local("m1"), []string{"m2"}, "m1 m9 m2",
		},
		"another when there is no leader to name": {
			map[string]*manager{"m1": redirects(""), "m2": {}}, local("m1"), []string{"m2"}, "m1 m2",
		},
		"another when sent to itself": {
			map[string]*manager{"m1": redirects("m1"), "m2": {}}, local("m1"), []string{"m2"}, "m1 m2",
		},
		"another when sent round in circles": {
			map[string]*manager{"m1": redirects("m2"), "m2": redirects("m1"), "m3": {}}, local("m1"), []string{"m3"}, "m1 m2 m1 m3",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				for addr, m := range tt.managers {
					defer s.manager(addr, m)()
				}
				stop := s.run(tt.edit, tt.known...)
				defer stop()
				time.Sleep(5 * time.Second)
				if got := s.dials(); got != tt.want {
					t.Errorf("dialed %q, want %q", got, tt.want)
				}
				if last := tt.want[strings.LastIndex(tt.want, " ")+1:]; tt.managers[last].connected() != 1 || s.node.View().Sessions != 1 {
					t.Errorf("%s has no session", last)
				}
			})
		})
	}
}

// TestManagersShareNewcomers: nodes try managers in an order of their own.
func TestManagersShareNewcomers(t *testing.T) {
	first := make(map[string]bool)
	for range 100 {
		play(t, func(s *scene) {
			for _, addr := range []string{"m1", "m2", "m3"} {
				defer s.manager(addr, &manager{})()
			}
			defer s.run(nil, "m1", "m2", "m3")()
			first[s.dials()] = true
		})
	}
	if len(first) != 3 {
		t.Errorf("of 100 nodes all began with one of %v, want three managers", first)
	}
}

// TestBacksOff: rounds over managers that are down follow each other more and
// more slowly, but never so slowly that a new leader gives the node up: it
// waits two leases, 6 s.
func TestBacksOff(t *testing.T) {
	play(t, func(s *scene) {
		defer s.run(nil, "m1")()
		time.Sleep(2 * time.Minute)
		s.mu.Lock()
		at := slices.Clone(s.at)
		s.mu.Unlock()
		if len(at) < 40 || len(at) > 130 {
			t.Errorf("%d rounds in two minutes, want one in 1 to 3 s", len(at))
		}
		for i := 1; i < len(at); i++ {
			if wait := at[i] - at[i-1]; wait > 3100*time.Millisecond {
				t.Errorf("round %d came after %v", i, wait)
			}
		}
		if early := at[2] - at[0]; early > time.Second {
			t.Errorf("the third round began after %v: a short outage should cost little", early)
		}
		// A manager that is back is found, and the next outage starts anew.
		m1 := &manager{}
		down := s.manager("m1", m1)
		time.Sleep(4 * time.Second)
		if m1.connected() != 1 {
			t.Fatal("the manager that came back has no session")
		}
		down()
		m1 = &manager{}
		defer s.manager("m1", m1)()
		time.Sleep(500 * time.Millisecond)
		if m1.connected() != 1 {
			t.Error("the manager that restarted has no session half a second later")
		}
	})
}

// TestManagersThatAreGone: of seven managers six do not even refuse. The one that
// is left is asked often enough to know this node when it comes to lead, which
// is within two leases.
func TestManagersThatAreGone(t *testing.T) {
	for range 10 { // orders are random
		play(t, func(s *scene) {
			m1 := &manager{session: redirects("").session}
			down := s.manager("m1", m1)
			gone := []string{"m2", "m3", "m4", "m5", "m6", "m7"}
			s.network.Stall("n1", gone...)
			defer s.network.Heal("n1")
			stop := s.run(nil, append(gone, "m1")...)
			defer stop()
			time.Sleep(2 * time.Minute)
			s.mu.Lock()
			last := time.Duration(0)
			for i, addr := range s.dialed {
				if addr != "m1" {
					continue
				}
				if wait := s.at[i] - last; wait > 5*time.Second {
					t.Errorf("the manager that is left was not asked for %v", wait)
				}
				last = s.at[i]
			}
			s.mu.Unlock()
			down()
			m1 = &manager{}
			defer s.manager("m1", m1)()
			time.Sleep(5 * time.Second)
			if m1.connected() != 1 {
				t.Error("the manager that is left has no session")
			}
		})
	}
}

// TestRedirectLoopsCostLittle: managers that point at each other for ever.
func TestRedirectLoopsCostLittle(t *testing.T) {
	play(t, func(s *scene) {
		defer s.manager("m1", redirects("m2"))()
		defer s.manager("m2", redirects("m1"))()
		defer s.run(nil, "m1", "m2")()
		time.Sleep(time.Minute)
		// A round is at most three connections from each of the two.
		if n := len(strings.Fields(s.dials())); n > 60*6 {
			t.Errorf("%d connections in a minute", n)
		}
		if s.node.View().Sessions != 0 {
			t.Error("a manager that redirects took the session")
		}
	})
}

// TestDialFails: what Dial itself refuses is one more manager that is down.
func TestDialFails(t *testing.T) {
	play(t, func(s *scene) {
		m2 := &manager{}
		defer s.manager("m2", m2)()
		stop := s.run(func(c *agent.Config) {
			dial := c.Dial
			c.Local = "m1"
			c.Dial = func(ctx context.Context, addr string) (*grpc.ClientConn, error) {
				if addr == "m1" {
					return nil, context.DeadlineExceeded
				}
				return dial(ctx, addr)
			}
		}, "m2")
		defer stop()
		if m2.connected() != 1 {
			t.Error("the other manager has no session")
		}
	})
}
