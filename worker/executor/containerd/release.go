package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/worker/tasklog"
)

const (
	// killTimeout is how long the kernel may take to end a killed process, which
	// is long only when it hangs in the kernel.
	killTimeout = 10 * time.Second
	// deleteTimeout bounds freeing a shim whose process has ended.
	deleteTimeout = 10 * time.Second
)

// Release implements executor.Executor. The order matters: what a step needs
// is freed after it, so that a release which stops half-way can be repeated.
func (x *Executor) Release(ctx context.Context, taskID string) error {
	release, err := x.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx = x.inNamespace(ctx)
	if err := x.deleteTask(ctx, taskID); err != nil {
		return err
	}
	err = retried(ctx, func() error { return x.containers().Delete(ctx, taskID) })
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete container: %w", err)
	}
	err = retried(ctx, func() error { return x.snapshots().Remove(ctx, taskID) })
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove root file system: %w", err)
	}
	if err := x.cfg.Network.Detach(ctx, taskID); err != nil {
		return fmt.Errorf("detach network: %w", err)
	}
	if err := tasklog.RemovePipes(x.cfg.RunDir, taskID); err != nil {
		return fmt.Errorf("remove pipes: %w", err)
	}
	if err := os.RemoveAll(execDir(x.cfg.RunDir, taskID)); err != nil {
		return fmt.Errorf("remove pipes of health checks: %w", err)
	}
	if err := os.RemoveAll(x.taskDir(taskID)); err != nil {
		return fmt.Errorf("remove files of the task: %w", err)
	}
	return nil
}

// deleteTask ends the process and frees its shim.
func (x *Executor) deleteTask(ctx context.Context, taskID string) error {
	p, err := x.processRetried(ctx, taskID)
	if errdefs.IsNotFound(err) {
		return endOrphans(x, taskID)
	}
	if err != nil {
		return fmt.Errorf("look for the process: %w", err)
	}
	if p {
		if err := x.kill(ctx, taskID, syscall.SIGKILL); err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, killTimeout)
		defer cancel()
		if _, err := x.Wait(wait, taskID); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("wait for the end of the process: %w", err)
		}
	}
	// containerd forgets a task before its shim has ended: a delete that is
	// broken off between, because the daemon stops, leaves a shim that nothing
	// lists any more.
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	err = retried(whole, func() error {
		_, err := x.tasks().Delete(whole, &tasks.DeleteTaskRequest{ContainerID: taskID})
		return err
	})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete process: %w", err)
	}
	return removeShimSocket(x, taskID)
}

// processRetried reports whether the task's process may still live.
func (x *Executor) processRetried(ctx context.Context, taskID string) (lives bool, err error) {
	err = retried(ctx, func() error {
		p, err := x.process(ctx, taskID)
		lives = err == nil && !stopped(p)
		return err
	})
	return lives, err
}

// Remove implements executor.Executor.
func (x *Executor) Remove(ctx context.Context, taskID string) error {
	if err := x.Release(ctx, taskID); err != nil {
		return err
	}
	return tasklog.Remove(x.cfg.StateDir, taskID)
}

// RemoveCgroups removes the parent cgroup that tasks were put under, in every
// hierarchy, once no task is left.
func (x *Executor) RemoveCgroups() error {
	roots, err := x.host.hierarchies()
	if err != nil {
		return err
	}
	var errs []error
	deadline := time.Now().Add(emptying)
	for _, root := range roots {
		if err := removeCgroup(filepath.Join(root, x.cfg.CgroupParent), deadline); err != nil {
			errs = append(errs, fmt.Errorf("remove cgroup: %w", err))
		}
	}
	return errors.Join(errs...)
}

// emptying is how long a cgroup may be busy after its last process was killed:
// the kernel takes a process out of it only once it is through with it.
const emptying = 5 * time.Second

// removeCgroup removes a cgroup, if it is there, once it is empty.
func removeCgroup(path string, deadline time.Time) error {
	for ; ; <-time.After(20 * time.Millisecond) {
		err := os.Remove(path)
		switch {
		case err == nil || errors.Is(err, os.ErrNotExist):
			return nil
		case !errors.Is(err, unix.EBUSY) || time.Now().After(deadline):
			return err
		}
	}
}
