package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/dispatcher/lease"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// fakeStore is a state that takes proposals, or not.
type fakeStore struct {
	st *state.State
	// propose is asked about each proposal.
	propose func(changes []*raftpb.Change) error

	mu      sync.Mutex
	written []*raftpb.Change
	tries   int
}

func (s *fakeStore) State() *state.State                { return s.st }
func (s *fakeStore) Subscribe() *raftstore.Subscription { panic("nothing is watched here") }

func (s *fakeStore) Propose(_ context.Context, changes ...*raftpb.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.propose != nil {
		if err := s.propose(changes); err != nil {
			return err
		}
	}
	s.written = append(s.written, changes...)
	return nil
}

func (s *fakeStore) triedTimes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

// termOf is a term in which nothing runs.
func termOf(t *testing.T, s *fakeStore) *term {
	t.Helper()
	if s.st == nil {
		s.st = stateOf(t)
	}
	tm := newTerm(t.Context(), Config{Store: s, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(tm.close)
	return tm
}

func TestBatchThatIsRefusedHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeStore{propose: func([]*raftpb.Change) error { return fmt.Errorf("no such task: %w", errdefs.ErrNotFound) }}
		if ok := termOf(t, s).record(t.Context(), []*raftpb.Change{taskIs("a", lifecycle.Running)}); !ok || s.tries != 1 {
			t.Errorf("go on: %t after %d tries, want to go on after one", ok, s.tries)
		}
	})
}

func TestBatchIsTriedUntilThereIsAQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &fakeStore{propose: func([]*raftpb.Change) error {
			if time.Since(start) < 10*time.Second {
				return fmt.Errorf("no quorum: %w", errdefs.ErrUnavailable)
			}
			return nil
		}}
		ok := termOf(t, s).record(t.Context(), []*raftpb.Change{taskIs("b", lifecycle.Running)})
		if d := time.Since(start); !ok || len(s.written) != 1 || d > 12*time.Second {
			t.Errorf("go on: %t, %d written after %s", ok, len(s.written), d)
		}
	})
}

func TestTrialsEndWithTheTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeStore{propose: func([]*raftpb.Change) error { return errdefs.ErrUnavailable }}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if ok := termOf(t, s).record(ctx, []*raftpb.Change{taskIs("a", lifecycle.Failed)}); ok || time.Since(start) > 3*time.Second {
			t.Errorf("goes on: %t after %s", ok, time.Since(start))
		}
	})
}

// A node hears that its report is recorded when that is so, and not before.
func TestReportIsRecordedOnceItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s := &fakeStore{propose: func([]*raftpb.Change) error { <-hold; return nil }}
		s.st = stateOf(t,
			state.CreateTask(&clusterpb.Task{Id: "a", ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{}}),
			state.AssignTask("a", "n1", nil))
		tm := termOf(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = tm.statusLoop(ctx) })
		defer wg.Wait()
		defer cancel()

		sess := newSession("n1", daemon{})
		recorded := func() uint64 { sess.mu.Lock(); defer sess.mu.Unlock(); return sess.out.recorded }
		tm.statuses.put(s.State(), sess, 7, []*dispatchpb.TaskReport{{TaskId: "a", Status: &clusterpb.TaskStatus{State: lifecycle.Running}}})
		written := tm.statuses.putNode(isConnected("n1", "192.0.2.1:5", time.Now()))
		synctest.Wait()
		select {
		case <-written:
			t.Error("the node counts as written down before it is")
		default:
		}
		if got := recorded(); got != 0 {
			t.Errorf("recorded up to %d before it is written", got)
		}
		close(hold)
		synctest.Wait()
		<-written
		if got := recorded(); got != 7 {
			t.Errorf("recorded up to %d, want 7", got)
		}
	})
}

// What is seen of a node in a short time is one change, of the newest of each.
func TestNewsOfANodeAreGathered(t *testing.T) {
	q, now := newStatusQueue(), time.Unix(1000, 0)
	first := q.putNode(isConnected("n1", "192.0.2.1:5", now))
	q.putNode(images("n1", []*clusterpb.NodeImage{{Name: "web"}}))
	second := q.putNode(disconnected("n1", now))
	q.putNode(&raftpb.ObserveNode{Id: "n1", Description: &clusterpb.NodeDescription{Hostname: "one"}})
	last := q.putNode(isConnected("n2", "192.0.2.2:5", now))
	got := make(map[string]*raftpb.ObserveNode)
	taken := q.take(stateOf(t), now)
	for _, c := range taken.changes {
		got[c.GetObserveNode().GetId()] = c.GetObserveNode()
	}
	waits := func(c <-chan struct{}) bool {
		return slices.ContainsFunc(taken.written, func(w chan struct{}) bool { return w == c })
	}
	if len(taken.changes) != 2 || len(taken.written) != 2 || !waits(first) || !waits(second) || !waits(last) || waits(q.putNode(images("n1", nil))) {
		t.Fatalf("%d changes, want 2, and a channel of each node for all who wait for them alone", len(taken.changes))
	}
	n1 := got["n1"]
	if n1.GetStatus().GetState() != clusterpb.NodeStatus_STATE_DISCONNECTED || len(n1.GetImages().GetImages()) != 1 || n1.GetDescription().GetHostname() != "one" {
		t.Errorf("n1 is written down as %v", n1)
	}
}

func TestWhatARegistrationChanges(t *testing.T) {
	desc := &clusterpb.NodeDescription{Hostname: "one"}
	image := []*clusterpb.NodeImage{{Name: "web"}}
	node := func(s clusterpb.NodeStatus_State) *clusterpb.Node {
		return &clusterpb.Node{Id: "n1", Description: desc, Images: image, Status: &clusterpb.NodeStatus{State: s}}
	}
	tests := map[string]struct {
		node *clusterpb.Node
		reg  *dispatchpb.Register
		news bool
	}{
		"nothing":             {node(clusterpb.NodeStatus_STATE_READY), &dispatchpb.Register{Description: desc, Images: image}, false},
		"it was down":         {node(clusterpb.NodeStatus_STATE_DOWN), &dispatchpb.Register{Description: desc, Images: image}, true},
		"it was away":         {node(clusterpb.NodeStatus_STATE_DISCONNECTED), &dispatchpb.Register{Description: desc, Images: image}, true},
		"it is new":           {&clusterpb.Node{Id: "n1"}, &dispatchpb.Register{Description: desc, Images: image}, true},
		"another name":        {node(clusterpb.NodeStatus_STATE_READY), &dispatchpb.Register{Description: &clusterpb.NodeDescription{Hostname: "two"}, Images: image}, true},
		"its images are gone": {node(clusterpb.NodeStatus_STATE_READY), &dispatchpb.Register{Description: desc}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := registered(tt.node, tt.reg, daemon{addr: "192.0.2.1:5"}, time.Unix(1000, 0))
			if (got != nil) != tt.news {
				t.Fatalf("changes %v, want any: %t", got, tt.news)
			}
			if tt.news && (got.GetStatus().GetState() != clusterpb.NodeStatus_STATE_READY || got.GetImages() == nil || got.GetStatus().GetAddr() != "192.0.2.1:5") {
				t.Errorf("changes %v", got)
			}
		})
	}
}

// A node that cannot be written down goes to look for another manager.
func TestRegistrationThatIsNotWrittenIsUnavailable(t *testing.T) {
	tests := map[string]struct {
		during func(*term, context.CancelFunc)
		after  time.Duration
		is     func(error) bool
	}{
		"no quorum":            {func(*term, context.CancelFunc) {}, registerTimeout, errdefs.IsUnavailable},
		"another manager wins": {func(tm *term, _ context.CancelFunc) { tm.close() }, 0, errdefs.IsUnavailable},
		"the node is gone":     {func(_ *term, cancel context.CancelFunc) { cancel() }, 0, func(err error) bool { return errors.Is(err, context.Canceled) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tm, start := termOf(t, &fakeStore{}), time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				tt.during(tm, cancel)
				err := tm.register(ctx, "n1", &dispatchpb.Register{}, daemon{})
				if !tt.is(err) || time.Since(start) != tt.after {
					t.Errorf("%v after %s", err, time.Since(start))
				}
			})
		})
	}
}

func TestNoSessionBeginsInATermThatIsOver(t *testing.T) {
	tm := termOf(t, &fakeStore{})
	if !tm.enter() {
		t.Fatal("a session cannot begin")
	}
	tm.sessions.Done()
	if tm.close(); tm.enter() {
		t.Error("one began after the end")
	}
}

// A leader whose process stood still has not heard what was said meanwhile.
func TestLeaderForgivesWhatItMissed(t *testing.T) {
	tests := map[string]struct {
		late time.Duration
		down bool // n1, which was heard three and a half periods ago
	}{
		"it was on time":            {0, true},
		"it was late within reason": {time.Second, true},
		"it stood still":            {2 * time.Second, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRoster(lease.New(stateOf(t).Nodes(), time.Second, time.Now()), newStatusQueue())
				r.admit(newSession("n1", daemon{}), connected(nil, daemon{}, time.Now()))
				time.Sleep(3500 * time.Millisecond)
				r.forgive(tt.late)
				if ids, silence, _ := r.expired(time.Now()); (len(ids) > 0) != tt.down || silence != 3*time.Second {
					t.Errorf("down are %v after %s, want any: %t", ids, silence, tt.down)
				}
			})
		})
	}
}

func TestLeasesAreLookedAtWithinALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoster(lease.New(stateOf(t).Nodes(), time.Second, time.Now()), newStatusQueue())
		if _, _, next := r.expired(time.Now()); !next.Equal(time.Now().Add(3 * time.Second)) {
			t.Errorf("without a lease it looks again in %s", time.Until(next))
		}
		r.admit(newSession("n1", daemon{}), connected(nil, daemon{}, time.Now()))
		time.Sleep(time.Second)
		if _, _, next := r.expired(time.Now()); !next.Equal(time.Now().Add(2 * time.Second)) {
			t.Errorf("with one it looks again in %s", time.Until(next))
		}
	})
}

func isConnected(id, addr string, now time.Time) *raftpb.ObserveNode {
	return &raftpb.ObserveNode{Id: id, Status: connected(nil, daemon{addr: addr}, now)}
}
