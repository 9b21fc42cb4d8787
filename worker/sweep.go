package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/errdefs"

	"github.com/muster/muster/worker/executor"
)

// sweeper removes what exists on the node although no manager knows it: left
// by a daemon that lost its state, or stopped between two steps.
type sweeper struct {
	tasks    *tasks
	executor executor.Executor
	log      *slog.Logger
	due      chan struct{} // managers have told everything
}

func (s *sweeper) run(ctx context.Context) error {
	b := backoff.NewExponentialBackOff()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.due:
		}
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			d := b.NextBackOff()
			s.log.WarnContext(ctx, "look for unknown tasks: will retry", "in", d, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(d):
				wake(s.due)
			}
			continue
		}
		b.Reset()
	}
}

func (s *sweeper) sweep(ctx context.Context) error {
	before := s.tasks.snapshots()
	found, err := s.executor.List(ctx)
	if err != nil {
		return err
	}
	for _, f := range found {
		// A task is known before anything of it exists, so one that is unknown
		// once the list is made stays unknown. One that was known before the list
		// was made is being removed by its controller.
		if _, was := before[f.TaskID]; was || s.tasks.has(f.TaskID) {
			continue
		}
		s.log.InfoContext(ctx, "removing a task that no manager knows", "task", f.TaskID, "running", f.Running)
		if err := s.executor.Remove(ctx, f.TaskID); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}
