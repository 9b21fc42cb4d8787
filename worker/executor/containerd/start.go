package containerd

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runc/options"
	taskpb "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"

	"github.com/muster/muster/worker/tasklog"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
)

// loggerTimeout is how long a start waits for a logger that is being restarted.
const loggerTimeout = time.Second

// Start implements executor.Executor. A process that has ended is not started
// again: Wait tells how it ended.
func (x *Executor) Start(ctx context.Context, t *clusterpb.Task) ([]*clusterpb.ContainerStatus, error) {
	release, err := x.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	ctx = x.inNamespace(ctx)
	err = retried(ctx, func() error { return x.createTask(ctx, t) })
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, fmt.Errorf("create process: %w", reason(err))
	}
	main, err := x.run(ctx, t.GetId())
	if err != nil {
		return nil, err
	}
	return []*clusterpb.ContainerStatus{main}, nil
}

// createTask makes shim and container, with the process held before its first
// instruction. AlreadyExists when that was done before.
func (x *Executor) createTask(ctx context.Context, t *clusterpb.Task) error {
	if _, err := x.process(ctx, t.GetId()); !errdefs.IsNotFound(err) {
		if err == nil {
			err = fmt.Errorf("process of task %s: %w", t.GetId(), errdefs.ErrAlreadyExists)
		}
		return err
	}
	// A process that was made before is beyond reach: it must not run beside this one.
	if err := endOrphans(x, t.GetId()); err != nil {
		return err
	}
	mounts, err := x.snapshots().Mounts(ctx, t.GetId())
	if err != nil {
		return fmt.Errorf("find root file system: %w", err)
	}
	tty := pod.Main(t.GetSpec()).GetTty()
	pipes := tasklog.PipesOf(x.cfg.RunDir, t.GetId(), tty)
	hold, err := pipes.Create()
	if err != nil {
		return err
	}
	defer hold.Close()
	runcOptions, err := typeurl.MarshalAnyToProto(&options.Options{Root: runcRoot(x)})
	if err != nil {
		return fmt.Errorf("encode options of runc: %w", err)
	}
	req := &tasks.CreateTaskRequest{
		ContainerID: t.GetId(), Terminal: tty, Stdout: pipes.Stdout, Stderr: pipes.Stderr, Options: runcOptions,
	}
	for _, m := range mounts {
		req.Rootfs = append(req.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	if _, err := x.tasks().Create(ctx, req); err != nil {
		return err
	}
	// By now the logger has had the time of a process's creation.
	if err := hold.Await(ctx, loggerTimeout); err != nil {
		x.cfg.Log.WarnContext(ctx, "the first output of the task may be lost", "task", t.GetId(), "err", err)
	}
	return nil
}

// runcRoot is where runc's notes about containers are: with our own, not in
// /run/containerd.
func runcRoot(x *Executor) string { return filepath.Join(x.cfg.RunDir, "runc") }

// run starts the process that createTask made, unless it was started before.
func (x *Executor) run(ctx context.Context, taskID string) (*clusterpb.ContainerStatus, error) {
	resp, err := x.tasks().Start(ctx, &tasks.StartRequest{ContainerID: taskID})
	if err == nil {
		return &clusterpb.ContainerStatus{Id: taskID, Pid: resp.GetPid()}, nil
	}
	p, errGet := x.process(ctx, taskID)
	if errGet != nil || p.GetStatus() == taskpb.Status_CREATED || p.GetPid() == 0 {
		// Whatever is there can never run; the next attempt begins anew.
		_, _ = x.tasks().Delete(context.WithoutCancel(ctx), &tasks.DeleteTaskRequest{ContainerID: taskID})
		return nil, fmt.Errorf("start process: %w", reason(native(err)))
	}
	return &clusterpb.ContainerStatus{Id: taskID, Pid: p.GetPid(), ExitCode: int32(p.GetExitStatus())}, nil
}

// process asks for the state of the task's process.
func (x *Executor) process(ctx context.Context, taskID string) (*taskpb.Process, error) {
	resp, err := x.tasks().Get(ctx, &tasks.GetRequest{ContainerID: taskID})
	if err != nil {
		return nil, native(err)
	}
	return resp.GetProcess(), nil
}

// Signal implements executor.Executor.
func (x *Executor) Signal(ctx context.Context, t *clusterpb.Task) error {
	ctx = x.inNamespace(ctx)
	c, err := x.containers().Get(ctx, t.GetId())
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the stop signal: %w", err)
	}
	sig := syscall.SIGTERM
	if name := c.Labels[stopSignalLabel]; name != "" {
		if own, err := spec.Signal(name); err == nil {
			sig = own
		} else { // images may say anything; the task has to end all the same
			x.cfg.Log.WarnContext(ctx, "stop with SIGTERM: the image's stop signal is none", "task", t.GetId(), "signal", name)
		}
	}
	return x.kill(ctx, t.GetId(), sig)
}

// Kill implements executor.Executor.
func (x *Executor) Kill(ctx context.Context, taskID string) error {
	return x.kill(x.inNamespace(ctx), taskID, syscall.SIGKILL)
}

// kill sends a signal; a process that is not there needs none. One that
// containerd lost is sent it all the same.
func (x *Executor) kill(ctx context.Context, taskID string, sig syscall.Signal) error {
	err := retried(ctx, func() error {
		_, err := x.tasks().Kill(ctx, &tasks.KillRequest{ContainerID: taskID, Signal: uint32(sig)})
		return err
	})
	if errdefs.IsNotFound(err) {
		return signalOrphan(x, taskID, sig)
	}
	if err != nil {
		return fmt.Errorf("send %v: %w", sig, err)
	}
	return nil
}

// runcPrefixes are the steps that shim and runc put before what went wrong.
var runcPrefixes = regexp.MustCompile(`^(failed to create shim task|failed to start shim|OCI runtime (create|start) failed|` +
	`runc (create|start) failed|unable to start container process|error during container init|` +
	`failed to create task for container|cannot start a container that has stopped): `)

// reason shortens an error of containerd to what the user can act on: `exec:
// "foo": executable file not found in $PATH`. It keeps the kind.
func reason(err error) error {
	text := err.Error()
	for {
		short := runcPrefixes.ReplaceAllString(text, "")
		if short == text {
			break
		}
		text = short
	}
	text = strings.TrimSuffix(strings.TrimSuffix(text, ": unknown"), ": unknown error")
	return &shortError{text: text, err: err}
}

// shortError is err in fewer words.
type shortError struct {
	text string
	err  error
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.err }
