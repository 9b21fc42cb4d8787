package containerd

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"

	"github.com/muster/muster/worker/executor"
)

// rewait is the pause before asking again after containerd went away, and
// between two looks at a process that it lost.
const rewait = 100 * time.Millisecond

// Wait implements executor.Executor. The shim remembers how the process ended
// until it is released; for a process that ends while containerd is away, or that
// it lost, there is the kernel's word.
func (x *Executor) Wait(ctx context.Context, taskID string) (executor.Exit, error) {
	ctx = x.inNamespace(ctx)
	process := witness{fd: -1}
	if p, err := x.process(ctx, taskID); err == nil && running(p) {
		process = watch(p.GetPid())
	}
	defer func() { process.close() }()
	endStaleExecs(ctx, x, taskID)
	for {
		resp, err := x.tasks().Wait(ctx, &tasks.WaitRequest{ContainerID: taskID})
		if err == nil {
			return executor.Exit{
				Code: int32(resp.GetExitStatus()),
				// A child that was killed is the task's own business as long as
				// its main process goes on.
				OOMKilled: resp.GetExitStatus() == killed && x.host.oomKilled(x.cgroup(taskID)),
			}, nil
		}
		if ctx.Err() != nil {
			return executor.Exit{}, context.Cause(ctx)
		}
		err = native(err)
		if errdefs.IsNotFound(err) {
			if process.fd < 0 {
				process = watch(orphan(x, taskID))
			}
			if err := process.await(ctx); err != nil {
				return executor.Exit{}, err
			}
		}
		if code, ok := process.exitCode(); ok && errdefs.IsNotFound(err) {
			return executor.Exit{Code: code}, nil
		}
		if errdefs.IsNotFound(err) {
			return executor.Exit{}, fmt.Errorf("process of task %s: %w", taskID, errdefs.ErrNotFound)
		}
		x.cfg.Log.DebugContext(ctx, "will wait for the process again", "task", taskID, "err", err)
		select {
		case <-ctx.Done():
			return executor.Exit{}, context.Cause(ctx)
		case <-time.After(rewait):
		}
	}
}
