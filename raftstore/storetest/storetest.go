// Package storetest runs the replicated store, or only its state machine, for
// tests of what is built on it.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// New returns a store of one member in memory, which leads, with the timeouts
// of production: in a synctest bubble they cost nothing. It stops when the
// test ends.
func New(t testing.TB) *raftstore.Store {
	t.Helper()
	_, link := raft.NewInmemTransport("m1")
	s, err := raftstore.Open(t.Context(), raftstore.Config{ID: "m1", Transport: link})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("store: %v", err)
		}
	})
	if err := s.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	if err := s.AwaitLeadership(wait); err != nil {
		t.Fatal(err)
	}
	return s
}

// Start is the time of the first command that Apply applies.
func Start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// Apply returns the state after one command with these changes, proposed a
// second after the last one. It needs no raft and no goroutine. The test fails
// when the command is refused.
func Apply(t testing.TB, s *state.State, changes ...*raftpb.Change) *state.State {
	t.Helper()
	now := s.Time.Add(time.Second)
	if s.Index == 0 {
		now = Start()
	}
	return ApplyAt(t, s, now, changes...)
}

// ApplyAt is Apply with the time of the proposal.
func ApplyAt(t testing.TB, s *state.State, now time.Time, changes ...*raftpb.Change) *state.State {
	t.Helper()
	next, err := TryAt(s, now, changes...)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return next
}

// TryAt returns the state after one command, and why it was refused if it was.
// The changes stay the caller's.
func TryAt(s *state.State, now time.Time, changes ...*raftpb.Change) (*state.State, error) {
	cmd := proto.CloneOf(&raftpb.Command{ProposedAt: timestamppb.New(now), Changes: changes})
	next, out := s.Apply(s.Index+1, cmd)
	return next, out.Err
}

// State returns the state after one command with these changes on an empty
// cluster.
func State(t testing.TB, changes ...*raftpb.Change) *state.State {
	t.Helper()
	return Apply(t, state.NewState(), changes...)
}
