package task

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/errdefs"

	"github.com/muster/muster/worker/executor"
)

// process is how a controller learns of the end of its task's process.
type process struct {
	exec executor.Executor
	id   string
	once sync.Once
	wg   sync.WaitGroup
	// ended is closed once the process has ended; then cause says how.
	ended chan struct{}
	cause error
}

func newProcess(exec executor.Executor, id string) *process {
	return &process{exec: exec, id: id, ended: make(chan struct{})}
}

// follow starts waiting for the end; once.
func (p *process) follow(ctx context.Context) {
	p.once.Do(func() { p.wg.Go(func() { p.wait(ctx) }) })
}

// wait asks for the end for as long as the runtime cannot tell: a runtime
// that restarts takes no process with it.
func (p *process) wait(ctx context.Context) {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = 100*time.Millisecond, 5*time.Second, 2
	for {
		exit, err := p.exec.Wait(ctx, p.id)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			p.cause = exited{exit}
		case errdefs.IsNotFound(err):
			p.cause = errGone
		default:
			select {
			case <-ctx.Done():
				return
			case <-time.After(b.NextBackOff()):
			}
			continue
		}
		close(p.ended)
		return
	}
}

// join waits for the goroutine of follow, whose context has ended.
func (p *process) join() { p.wg.Wait() }

// errGone is the cause of a process that left no exit status.
var errGone = errors.New("the process is gone and left no exit status: its shim was killed, or the machine restarted")

// within waits up to d for the end of the process.
func (p *process) within(ctx context.Context, d time.Duration) (ended bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// gone reports whether the process is known to have ended.
func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}
