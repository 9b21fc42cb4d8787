package cluster

import (
	"context"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/executortest"
)

// runtime is the connection of one life of a daemon to the node's container
// runtime, which outlives it: once the daemon was killed, nothing that it
// still tries happens.
type runtime struct {
	fake *executortest.Fake
	dead <-chan struct{}
	// signal is called before each stop signal.
	signal func(*clusterpb.Task)
}

var (
	_ executor.Executor = (*runtime)(nil)
	_ executor.Prober   = (*runtime)(nil)
)

// alive blocks the dead.
func (r *runtime) alive(ctx context.Context) error {
	select {
	case <-r.dead:
		<-ctx.Done()
		return errdefs.ErrUnavailable
	default:
		return nil
	}
}

// Prepare implements executor.Executor.
func (r *runtime) Prepare(ctx context.Context, req executor.Request, progress func(string)) error {
	if err := r.alive(ctx); err != nil {
		return err
	}
	return r.fake.Prepare(ctx, req, progress)
}

// Start implements executor.Executor.
func (r *runtime) Start(ctx context.Context, t *clusterpb.Task) ([]*clusterpb.ContainerStatus, error) {
	if err := r.alive(ctx); err != nil {
		return nil, err
	}
	return r.fake.Start(ctx, t)
}

// Wait implements executor.Executor.
func (r *runtime) Wait(ctx context.Context, taskID string) (executor.Exit, error) {
	exit, err := r.fake.Wait(ctx, taskID)
	if dead := r.alive(ctx); dead != nil {
		return executor.Exit{}, dead
	}
	return exit, err
}

// Signal implements executor.Executor.
func (r *runtime) Signal(ctx context.Context, t *clusterpb.Task) error {
	if err := r.alive(ctx); err != nil {
		return err
	}
	r.signal(t)
	return r.fake.Signal(ctx, t)
}

// Kill implements executor.Executor.
func (r *runtime) Kill(ctx context.Context, taskID string) error {
	if err := r.alive(ctx); err != nil {
		return err
	}
	return r.fake.Kill(ctx, taskID)
}

// Release implements executor.Executor.
func (r *runtime) Release(ctx context.Context, taskID string) error {
	if err := r.alive(ctx); err != nil {
		return err
	}
	return r.fake.Release(ctx, taskID)
}

// Remove implements executor.Executor.
func (r *runtime) Remove(ctx context.Context, taskID string) error {
	if err := r.alive(ctx); err != nil {
		return err
	}
	return r.fake.Remove(ctx, taskID)
}

// List implements executor.Executor.
func (r *runtime) List(ctx context.Context) ([]executor.Found, error) {
	if err := r.alive(ctx); err != nil {
		return nil, err
	}
	return r.fake.List(ctx)
}

// HealthCheck implements executor.Prober.
func (r *runtime) HealthCheck(ctx context.Context, t *clusterpb.Task) (*clusterpb.HealthCheck, error) {
	if err := r.alive(ctx); err != nil {
		return nil, err
	}
	return r.fake.HealthCheck(ctx, t)
}

// Exec implements executor.Prober.
func (r *runtime) Exec(ctx context.Context, taskID string, argv []string) (int32, string, error) {
	if err := r.alive(ctx); err != nil {
		return -1, "", err
	}
	return r.fake.Exec(ctx, taskID, argv)
}
