package raftstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// callTimeout bounds a call into raft whose context has no deadline. Raft
// answers within its lease, unless the disk hangs.
const callTimeout = 30 * time.Second

// Propose commits changes as one log entry and returns once this member has
// applied it: after nil, State shows the result. It works on the leader only.
//
// An error of kind Unavailable means that the outcome is unknown or nothing
// happened: another member leads, leadership was lost on the way, or the store
// stops. Retry with a request id if twice would hurt. Other kinds are the
// state machine's refusals; nothing was changed.
func (s *Store) Propose(ctx context.Context, changes ...*raftpb.Change) error {
	_, err := s.ProposeRequest(ctx, state.Request{}, changes...)
	return err
}

// ProposeRequest is Propose for a user's request. A repetition of a request id
// changes nothing and returns what the first one returned: the id of the first
// service or node that was changed, or the refusal.
func (s *Store) ProposeRequest(ctx context.Context, request state.Request, changes ...*raftpb.Change) (objectID string, err error) {
	if len(changes) == 0 {
		return "", nil
	}
	for i, c := range changes {
		if c.GetKind() == nil {
			// Committed, it would end every member, and again at each restart.
			return "", fmt.Errorf("change %d says nothing: %w", i+1, errdefs.ErrInvalidArgument)
		}
	}
	data, err := proto.Marshal(&raftpb.Command{
		ProposedAt: timestamppb.New(time.Now()),
		Changes:    changes,
		RequestId:  request.ID,
		RequestOf:  request.Of,
	})
	if err != nil {
		return "", fmt.Errorf("encode command: %w", err)
	}
	if len(data) > state.MaxCommand {
		return "", fmt.Errorf("the change takes %.1f MiB, but at most %.1f MiB fit one log entry: %w",
			mebibytes(len(data)), mebibytes(state.MaxCommand), errdefs.ErrInvalidArgument)
	}
	var out state.Outcome
	err = s.call(ctx, "propose", func(ctx context.Context) error {
		if s.room.Acquire(ctx, int64(len(data))) != nil {
			return context.Cause(ctx)
		}
		defer s.room.Release(int64(len(data)))
		f := s.raft.Apply(data, left(ctx))
		if err := f.Error(); err != nil {
			return err
		}
		out, _ = f.Response().(state.Outcome)
		return nil
	})
	if err != nil {
		return "", err
	}
	return out.ObjectID, out.Err
}

func mebibytes(n int) float64 { return float64(n) / (1 << 20) }

// left returns how long ctx, which has a deadline, goes on; never 0, which to
// raft means for ever.
func left(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return max(time.Until(deadline), time.Nanosecond)
}

// call runs f, which waits for raft, for no longer than ctx allows. f is given
// a context with a deadline, and goes on alone when it ends first. Errors of
// raft are of kind Unavailable.
func (s *Store) call(ctx context.Context, what string, f func(ctx context.Context) error) error {
	if !s.calls.enter() {
		return fmt.Errorf("%s: the store is closed: %w", what, errdefs.ErrUnavailable)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout,
		fmt.Errorf("no answer from raft within %s: %w", callTimeout, errdefs.ErrUnavailable))
	defer cancel()
	hangs, stalled := s.stall.now()
	if hangs {
		return fmt.Errorf("%s: %w: %w", what, errStalled, errdefs.ErrUnavailable)
	}
	done := make(chan error, 1)
	go func() {
		defer s.calls.leave()
		done <- f(ctx)
	}()
	select {
	case err := <-done:
		return s.raftError(what, err)
	case <-stalled:
		return fmt.Errorf("%s: %w: %w", what, errStalled, errdefs.ErrUnavailable)
	case <-ctx.Done():
		// What was handed over may be committed all the same.
		if cause := context.Cause(ctx); !errdefs.IsUnavailable(cause) {
			return fmt.Errorf("%s: %w: %w", what, cause, errdefs.ErrUnavailable)
		}
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
}

// raftError gives an error of raft its kind and a text that helps.
func (s *Store) raftError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		if id, addr := s.Leader(); id != "" {
			return fmt.Errorf("%s: manager %s at %s leads: %w", what, id, addr, errdefs.ErrUnavailable)
		}
		return fmt.Errorf("%s: the managers have no leader now: %w", what, errdefs.ErrUnavailable)
	default:
		return fmt.Errorf("%s: %w: %w", what, err, errdefs.ErrUnavailable)
	}
}
