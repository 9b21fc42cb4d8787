package manager

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/muster/muster/proto/call"
)

// vote is what manager m1 knows of who leads.
type vote struct {
	mu       sync.Mutex
	leads    bool
	id, addr string
}

func (*vote) ID() string { return "m1" }

func (v *vote) IsLeader() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.leads
}

func (v *vote) Leader() (id, addr string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.id, v.addr
}

// turns makes id the one that was elected; leads tells whether m1 acts as the leader.
func (v *vote) turns(id string, leads bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.id, v.addr, v.leads = id, "", leads
	if id != "" {
		v.addr = id + ":2377"
	}
}

// directing returns the director of m1. It knows nobody that leads.
func directing(t *testing.T) (*director, *vote) {
	t.Helper()
	dial := func(addr string) (*grpc.ClientConn, error) {
		conn, err := grpc.NewClient("passthrough:"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
		}
		return conn, err
	}
	inside, err := dial("inside")
	if err != nil {
		t.Fatal(err)
	}
	v := new(vote)
	return &director{election: v, inside: inside, leader: leaderConn{dial: dial}}, v
}

// forwarded is the context of a call that another manager has handed on.
func forwarded(ctx context.Context, t *testing.T) context.Context {
	t.Helper()
	out, err := call.Forward(call.NewContext(ctx, call.Principal{Kind: call.Local, NodeID: "m2", ClusterID: "c"}))
	if err != nil {
		t.Fatal(err)
	}
	md, _ := metadata.FromOutgoingContext(out)
	return metadata.NewIncomingContext(ctx, md)
}

// TestDirect: a call goes to the leader, and never round in a circle: a manager
// that was elected and does not act as the leader yet hands nothing on to itself.
func TestDirect(t *testing.T) {
	for name, tt := range map[string]struct {
		elected   string
		leads     bool
		forwarded bool
		want      string // where it goes, or why not
		after     time.Duration
	}{
		"it leads":                           {"m1", true, false, "inside", 0},
		"it leads, handed on":                {"m1", true, true, "inside", 0},
		"another leads":                      {"m2", false, false, "m2:2377", 0},
		"another leads, handed on":           {"m2", false, true, "takes this one for the leader", 0},
		"nobody leads":                       {"", false, false, "no leader now", electionPatience},
		"elected, and does not act yet":      {"m1", false, false, "no leader now", electionPatience},
		"elected, not yet, and handed on":    {"m1", false, true, "no leader now", electionPatience},
		"acts still, another is elected":     {"m2", true, false, "inside", 0},
		"nobody leads, and it was handed on": {"", false, true, "no leader now", electionPatience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, v := directing(t)
				v.turns(tt.elected, tt.leads)
				ctx := t.Context()
				if tt.forwarded {
					ctx = forwarded(ctx, t)
				}
				began := time.Now()
				conn, err := d.direct(ctx)
				got := ""
				if err == nil {
					got = conn.Target()
				} else if got = err.Error(); !errdefs.IsUnavailable(err) {
					t.Errorf("the caller is not told to ask again: %v", err)
				}
				if took := time.Since(began); !strings.Contains(got, tt.want) || took != tt.after {
					t.Errorf("after %v: %q, want %q after %v", took, got, tt.want, tt.after)
				}
			})
		})
	}
}

// TestDirectWaitsForTheElection: a call finds the leader that is elected in a moment.
func TestDirectWaitsForTheElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, v := directing(t)
		v.turns("m1", false)
		time.AfterFunc(300*time.Millisecond, func() { v.turns("m1", true) })
		if conn, err := d.direct(t.Context()); err != nil || conn != d.inside {
			t.Errorf("got %v", err)
		}
		v.turns("", false)
		ctx, cancel := context.WithTimeout(t.Context(), electionPeriod)
		defer cancel()
		if _, err := d.direct(ctx); err == nil || ctx.Err() == nil {
			t.Errorf("a caller that went away: %v", err)
		}
	})
}

// TestCallsAreCutOff: from a manager that leads no more, as soon as another one
// does, and not before.
func TestCallsAreCutOff(t *testing.T) {
	for _, next := range []string{"m1", "m3"} {
		synctest.Test(t, func(t *testing.T) {
			d, v := directing(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- d.run(ctx) }()
			// known tells whether the connection is kept after a look at who leads.
			kept := func(conn *grpc.ClientConn) bool {
				<-time.After(leaderPeriod + 1)
				synctest.Wait()
				return conn.GetState() != connectivity.Shutdown
			}
			v.turns("m2", false)
			conn, err := d.direct(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if !kept(conn) {
				t.Error("the leader is left")
			}
			v.turns("", false)
			if !kept(conn) {
				t.Error("left while nobody leads: the old leader may answer still")
			}
			v.turns("m1", false)
			if !kept(conn) {
				t.Error("left before this manager acts as the leader")
			}
			v.turns(next, next == "m1")
			if kept(conn) {
				t.Errorf("%s leads, and calls wait for m2", next)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
