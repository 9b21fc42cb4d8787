package raftstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/storetest"
)

func TestProposeShowsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storetest.New(t)
		for _, id := range []string{"a", "b", "c"} {
			if err := s.Propose(t.Context(), node(id)); err != nil {
				t.Fatal(err)
			}
			if _, ok := s.State().Node(id); !ok {
				t.Fatalf("%s is acknowledged and not there", id)
			}
		}
		if err := s.Propose(t.Context(), node("a")); !errdefs.IsAlreadyExists(err) || err.Error() != "node a exists already" {
			t.Errorf("refusal: %v", err)
		}
		if now := s.State().Time; now.IsZero() || now.After(time.Now()) {
			t.Errorf("state is of %v", now)
		}
		if err := s.Propose(t.Context(), node("d"), &raftpb.Change{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("a change of no kind: %v", err)
		}
		before := s.State().Index
		if err := s.Propose(t.Context()); err != nil || s.State().Index != before {
			t.Errorf("no change: %v, index %d after %d", err, s.State().Index, before)
		}
	})
}

func TestProposalTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storetest.New(t)
		svc := &clusterpb.Service{Id: "s1", Spec: &clusterpb.ServiceSpec{Name: "web", Labels: map[string]string{"x": strings.Repeat("x", 2<<20)}}}
		err := s.Propose(t.Context(), storetest.PutService(svc))
		if !errdefs.IsInvalidArgument(err) || !strings.HasPrefix(err.Error(), "the change takes 2.0 MiB, but at most 1.5 MiB fit one log entry") {
			t.Errorf("got %v", err)
		}
		svc.Spec.Labels["x"] = strings.Repeat("x", 3<<19-200)
		if err := s.Propose(t.Context(), storetest.PutService(svc)); err != nil {
			t.Errorf("one that fits: %v", err)
		}
	})
}

func TestProposeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storetest.New(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("the user has gone"))
		if err := s.Propose(ctx, node("a")); err == nil || !strings.Contains(err.Error(), "the user has gone") {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestClosedStoreAnswers(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		propose(t, ms[0], node("a"))
		terms := ms[0].Leadership()
		term := <-terms
		ms[0].stop()
		if term.Err() == nil {
			t.Error("the term goes on")
		}
		if _, open := <-terms; open {
			t.Error("a second term")
		}
		if err := ms[0].Propose(t.Context(), node("b")); !errdefs.IsUnavailable(err) {
			t.Errorf("propose: %v", err)
		}
		if ms[0].IsLeader() {
			t.Error("it leads")
		}
		if !has(ms[0], "a") {
			t.Error("what was applied cannot be read any more")
		}
	})
}

func TestMemberWithoutClusterWaits(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		m := &member{t: t, config: raftstore.Config{ID: "m9", Dir: t.TempDir()}}
		m.start()
		defer m.stop()
		time.Sleep(time.Minute)
		err := m.Propose(t.Context(), node("a"))
		if !errdefs.IsUnavailable(err) || err.Error() != "propose: the managers have no leader now: unavailable" {
			t.Errorf("propose: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.AwaitLeadership(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("await leadership: %v", err)
		}
		if err := ms[0].Bootstrap(t.Context()); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("bootstrapped twice: %v", err)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := raftstore.Open(t.Context(), raftstore.Config{}); err == nil {
		t.Error("a member without an id")
	}
}
