// Package once applies a user's write once, however often it is sent: the only
// place that knows what a repeated request is answered, and what becomes of a
// write that another one has overtaken.
package once

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/call"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// Store is what a write needs of the replicated state.
type Store interface {
	State() *state.State
	ProposeRequest(ctx context.Context, r state.Request, changes ...*raftpb.Change) (objectID string, err error)
}

// maxConflicts bounds how often a write is decided again.
const maxConflicts = 10

// Write is one call that writes, as its handler decides it. T is what it is
// answered with.
type Write[T any] struct {
	// Pinned says that the user named the version to change. When another write
	// was faster, the conflict is the answer then; otherwise the write is decided
	// again on what is there now.
	Pinned bool
	// Decide returns the change to make of a state. Its error is the answer; it
	// is not kept, so a repetition is decided anew.
	Decide func(*state.State) (*raftpb.Change, error)
	// Before does what must be done outside of the state before a change that was
	// decided may be made of it; nil when that is nothing. It is done again by each
	// attempt and repetition, until the change is made. Its error is the answer.
	Before func(ctx context.Context, s *state.State, change *raftpb.Change) error
	// Answer looks up what was written, by the id of the object that the first
	// change touched. It is asked for a repetition too, perhaps long afterwards.
	Answer func(s *state.State, objectID string) (T, error)
}

// Do makes the write of the request that ctx serves, or gives a repetition the
// answer of the first one: the object, or the very refusal of the state machine.
// After an error of kind Unavailable it is not known what happened. A request id
// that came with another method, caller or content is refused as InvalidArgument:
// that answer would be none to this call.
//
// Each attempt has an id that follows from the request's, so that a request
// that is repeated because its answer was lost goes on after the attempts that
// were overtaken.
func (w Write[T]) Do(ctx context.Context, store Store) (answer T, err error) {
	request := state.Request{ID: call.RequestID(ctx), Of: call.RequestOf(ctx)}
	for n := 0; ; n++ {
		objectID, conflict, err := w.attempt(ctx, store, attemptOf(request, n))
		switch {
		case err == nil:
			return w.Answer(store.State(), objectID)
		case !conflict || w.Pinned || n == maxConflicts:
			return answer, err
		}
	}
}

func attemptOf(request state.Request, n int) state.Request {
	if n > 0 {
		request.ID = fmt.Sprintf("%s/%d", request.ID, n)
	}
	return request
}

// attempt makes the write, unless one of that id was made; conflict tells that
// it was refused because another one was faster.
func (w Write[T]) attempt(ctx context.Context, store Store, r state.Request) (objectID string, conflict bool, err error) {
	s := store.State()
	if done, ok := s.Applied(r.ID); ok {
		err := state.AppliedError(done, r.Of)
		return done.GetObjectId(), errdefs.IsConflict(err), err
	}
	change, err := w.Decide(s)
	if err != nil {
		return "", false, err
	}
	if w.Before != nil {
		if err := w.Before(ctx, s, change); err != nil {
			return "", false, err
		}
	}
	objectID, err = store.ProposeRequest(ctx, r, change)
	return objectID, errdefs.IsConflict(err), err
}

// ID answers a write with the id of what it touched; for removals.
func ID(_ *state.State, objectID string) (string, error) { return objectID, nil }

// CheckVersion refuses a write that was made from another version of an object
// than the current one; 0 is any. what names the object as people do:
// "service web".
func CheckVersion(what string, current, seen uint64) error {
	if seen == 0 || seen == current {
		return nil
	}
	return fmt.Errorf("%s is at version %d, not %d: it has changed since; look at it again: %w", what, current, seen, errdefs.ErrConflict)
}
