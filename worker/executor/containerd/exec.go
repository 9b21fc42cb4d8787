package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/muster/muster/proto/id"
)

// maxOutput is how much of what a health check prints is kept: Docker's 4 KiB.
const maxOutput = 4096

// Exec implements executor.Prober. When ctx ends first, the process is killed.
// One that is still being started then is waited for a moment, and ends as soon
// as it has started.
func (x *Executor) Exec(ctx context.Context, taskID string, argv []string) (int32, string, error) {
	ctx = x.inNamespace(ctx)
	ended := make(chan outcome, 1)
	go func() { ended <- runCheck(ctx, x, taskID, argv) }()
	select {
	case o := <-ended:
		return o.code, o.output, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-ended:
		return o.code, o.output, o.err
	case <-time.After(endTimeout):
		return -1, "", context.Cause(ctx)
	}
}

// outcome is what came of a check's process.
type outcome struct {
	code   int32
	output string
	err    error
}

func failed(err error) outcome { return outcome{code: -1, err: err} }

// runCheck runs the process to its end, or to that of ctx, and frees it.
func runCheck(ctx context.Context, x *Executor, taskID string, argv []string) outcome {
	spec, err := x.execSpec(ctx, taskID, argv)
	if err != nil {
		return failed(err)
	}
	c, err := x.cfg.Client.LoadContainer(ctx, taskID)
	if err != nil {
		return failed(fmt.Errorf("find the container: %w", err))
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		return failed(fmt.Errorf("find the process: %w", err))
	}
	out := &boundedBuffer{}
	whole, cancel := uncut(ctx)
	defer cancel()
	p, err := task.Exec(whole, id.New(), spec,
		cio.NewCreator(cio.WithStreams(nil, out, out), cio.WithFIFODir(execDir(x.cfg.RunDir, taskID))))
	if err != nil {
		return failed(fmt.Errorf("make process: %w", reason(err)))
	}
	code, err := wait(ctx, p)
	if err == nil {
		awaitOutput(ctx, p)
	}
	if ctx.Err() != nil {
		killGroup(ctx, x.tasks(), taskID, p.ID())
	}
	x.deleteExec(ctx, p)
	return outcome{code, out.String(), err}
}

// startTimeout bounds how long a check's process may take to be made, and to
// be started: a busy machine takes seconds. When it is over the shim kills runc
// half-way, and knows nothing of a process that runc has begun.
const startTimeout = time.Minute

// endTimeout bounds each step of a process's end, and how long Exec waits for
// all of them.
const endTimeout = 5 * time.Second

// uncut is for steps that go on in the shim when their caller gives up: what
// comes of them then is nobody's, and runs for as long as it likes.
func uncut(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
}

// execSpec is the task's process with other arguments.
func (x *Executor) execSpec(ctx context.Context, taskID string, argv []string) (*specs.Process, error) {
	c, err := x.containers().Get(ctx, taskID)
	if err != nil {
		return nil, fmt.Errorf("find the container: %w", err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(c.Spec.GetValue(), &spec); err != nil {
		return nil, fmt.Errorf("read OCI spec: %w", err)
	}
	if len(argv) == 0 {
		return nil, fmt.Errorf("nothing to execute: %w", errdefs.ErrInvalidArgument)
	}
	p := spec.Process
	p.Args, p.Terminal, p.CommandLine = argv, false, ""
	return p, nil
}

// wait starts the process and waits for its end. It asks for the end first:
// it may come before the start has returned.
func wait(ctx context.Context, p client.Process) (int32, error) {
	ended, err := p.Wait(ctx)
	if err != nil {
		return -1, fmt.Errorf("wait for the process: %w", err)
	}
	if ctx.Err() != nil {
		return -1, context.Cause(ctx)
	}
	whole, cancel := uncut(ctx)
	defer cancel()
	if err := p.Start(whole); err != nil {
		return -1, fmt.Errorf("start process: %w", reason(err))
	}
	select {
	case <-ctx.Done():
		return -1, context.Cause(ctx)
	case status := <-ended:
		code, _, err := status.Result()
		if ctx.Err() != nil {
			return -1, context.Cause(ctx)
		}
		return int32(code), err
	}
}

// lingering is how long the output of an ended process may take to arrive.
const lingering = 500 * time.Millisecond

// awaitOutput waits until all that the ended process printed has arrived:
// freeing it closes its pipes, read or not. The wait has a bound, because the
// process may have left others that hold them.
func awaitOutput(ctx context.Context, p client.Process) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.IO().Wait()
	}()
	select {
	case <-read:
	case <-ctx.Done():
	case <-time.After(lingering):
	}
}

// killGroup ends a process that took too long, and with it those that it waits
// for: runc makes it the leader of a group. Left alone they would go on for as
// long as they like, and more with each check.
func killGroup(ctx context.Context, containerd tasks.TasksClient, taskID, execID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	// The caller may have given up before the start told which pid it is.
	resp, err := containerd.Get(ctx, &tasks.GetRequest{ContainerID: taskID, ExecID: execID})
	if pid := int(resp.GetProcess().GetPid()); err == nil && pid > 1 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// deleteExec ends and frees the process, also when the caller has given up.
func (x *Executor) deleteExec(ctx context.Context, p client.Process) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	ended, err := p.Wait(ctx)
	if err == nil {
		_ = p.Kill(ctx, syscall.SIGKILL)
		select {
		case <-ended:
		case <-ctx.Done():
		}
	}
	if _, err := p.Delete(ctx); err != nil && !errdefs.IsNotFound(err) {
		x.cfg.Log.WarnContext(ctx, "cannot free the process of a health check", "err", err)
	}
}

// boundedBuffer keeps the first bytes and drops the rest.
type boundedBuffer struct {
	mu  sync.Mutex
	buf []byte
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	room := maxOutput - len(b.buf)
	b.buf = append(b.buf, p[:min(room, len(p))]...)
	return len(p), nil
}

func (b *boundedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf)
}
