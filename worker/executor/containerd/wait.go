package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/program"
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
			exit := executor.Exit{
				Code: int32(resp.GetExitStatus()),
				// A child that was killed is the task's own business as long as
				// its main process goes on.
				OOMKilled: resp.GetExitStatus() == killed && x.host.oomKilled(x.cgroup(taskID)),
			}
			if exit.Code == notExecuted {
				exit.Reason = unexecutable(ctx, x, taskID)
			}
			return exit, nil
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

// notExecuted is what a process exits with that runc made and that did not
// become the program it was to be. Programs exit with it too.
const notExecuted = 255

// unexecutable says why the program of a task that exited with notExecuted
// cannot be executed, "" when nothing is wrong with it.
func unexecutable(ctx context.Context, x *Executor, taskID string) (why string) {
	c, err := x.containers().Get(ctx, taskID)
	if err != nil {
		return ""
	}
	var spec specs.Spec
	if err := json.Unmarshal(c.Spec.GetValue(), &spec); err != nil {
		return ""
	}
	layers, err := x.snapshots().Mounts(ctx, taskID)
	if err != nil {
		return ""
	}
	_ = mount.WithReadonlyTempMount(ctx, layers, func(root string) error {
		why = program.Unexecutable(root, &spec)
		return nil
	})
	return why
}
