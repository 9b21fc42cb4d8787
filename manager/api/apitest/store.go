// Package apitest is the replicated state for tests of the API: the state
// machine alone, beside another writer who may be faster.
package apitest

import (
	"context"
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/proto/call"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// Store holds a state. It has no subscriptions.
type Store struct {
	// Races are changes that another writer commits before the next proposals,
	// one before each.
	Races []func(*state.State) *raftpb.Change
	// Lost are errors that the next proposals return though they are applied,
	// as when a leader is lost before it has answered.
	Lost []error
	// Proposals counts what was proposed.
	Proposals int

	t     testing.TB
	state *state.State
}

// New returns a store that holds what the changes make.
func New(t testing.TB, changes ...*raftpb.Change) *Store {
	t.Helper()
	s := &Store{t: t, state: state.NewState()}
	s.Commit(changes...)
	return s
}

// State returns the state as it is now.
func (s *Store) State() *state.State { return s.state }

// Subscribe is not for this store.
func (s *Store) Subscribe() *raftstore.Subscription { panic("apitest: no subscriptions") }

// ProposeRequest applies changes as one command.
func (s *Store) ProposeRequest(_ context.Context, r state.Request, changes ...*raftpb.Change) (string, error) {
	s.Proposals++
	if len(s.Races) > 0 {
		race := s.Races[0]
		s.Races = s.Races[1:]
		s.Commit(race(s.state))
	}
	objectID, err := s.apply(r, changes...)
	if len(s.Lost) > 0 {
		err, s.Lost = s.Lost[0], s.Lost[1:]
		return "", err
	}
	return objectID, err
}

func (s *Store) apply(r state.Request, changes ...*raftpb.Change) (string, error) {
	cmd := proto.CloneOf(&raftpb.Command{RequestId: r.ID, RequestOf: r.Of, ProposedAt: timestamppb.Now(), Changes: changes})
	next, out := s.state.Apply(s.state.Index+1, cmd)
	s.state = next
	return out.ObjectID, out.Err
}

// Commit applies changes of nobody's request, one command each.
func (s *Store) Commit(changes ...*raftpb.Change) {
	s.t.Helper()
	for _, c := range changes {
		if _, err := s.apply(state.Request{}, c); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Request is the context of a call that carries a request id.
func Request(t testing.TB, id string) context.Context {
	t.Helper()
	return metadata.NewIncomingContext(t.Context(), metadata.Pairs(call.RequestIDKey, id))
}
