package task

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/worker/executor"
)

const (
	// runtimeTimeout is how long a runtime that does not answer, such as a
	// containerd that restarts, is waited for before a task fails for it.
	runtimeTimeout = 60 * time.Second
	// forever is the wait for a runtime where a running task is at stake.
	forever = 365 * 24 * time.Hour
	// progressPeriod limits how often progress is told to managers.
	progressPeriod = time.Second
)

// while returns a context that also ends once the channel is closed.
func while(ctx context.Context, c <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-c:
			cancel()
		case <-done:
		}
	}()
	return ctx, func() { close(done); <-finished; cancel() }
}

// persist calls f again while the runtime is unavailable.
func persist(ctx context.Context, timeout time.Duration, f func(ctx context.Context) error) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = 100*time.Millisecond, 5*time.Second, 2
	deadline := time.Now().Add(timeout)
	for {
		err := f(ctx)
		d := b.NextBackOff()
		if err == nil || !errdefs.IsUnavailable(err) || time.Now().Add(d).After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(d):
		}
	}
}

// prepare makes the container, as long as the task is wanted.
func (c *Controller) prepare(ctx context.Context, t *clusterpb.Task) error {
	ctx, cancel := while(ctx, c.unwanted)
	defer cancel()
	if len(t.GetAttachments()) > 0 {
		if err := c.cfg.Mesh.Up(ctx); err != nil {
			return err
		}
	}
	err := persist(ctx, runtimeTimeout, func(ctx context.Context) error {
		// Another try may know of other nodes with the image.
		return c.cfg.Executor.Prepare(ctx, executor.Request{Task: t, Sources: c.imageSources()}, c.progress)
	})
	c.prepared = err == nil
	return err
}

func (c *Controller) imageSources() []*dispatchpb.ImageSource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sources
}

// progress reports a line about the preparation, not more than once a period.
func (c *Controller) progress(message string) {
	c.mu.Lock()
	tell := time.Since(c.lastNews) >= progressPeriod && c.status.GetState() == lifecycle.Preparing
	if tell {
		c.lastNews = time.Now()
	}
	c.mu.Unlock()
	if tell {
		c.report(lifecycle.Preparing, func(s *clusterpb.TaskStatus) { s.Message = message })
	}
}

// start runs the process, as long as the task is wanted, and returns what to
// report beside the state.
func (c *Controller) start(ctx context.Context, t *clusterpb.Task) (edit func(*clusterpb.TaskStatus), err error) {
	if !c.prepared {
		// It was prepared before the daemon restarted; a restart of the machine may
		// have undone that.
		if err := c.prepare(ctx, t); err != nil {
			return nil, err
		}
	}
	ports, err := c.hostPorts(t)
	if err != nil {
		return nil, err
	}
	wanted, cancel := while(ctx, c.unwanted)
	defer cancel()
	var containers []*clusterpb.ContainerStatus
	err = persist(wanted, runtimeTimeout, func(ctx context.Context) (err error) {
		containers, err = c.cfg.Executor.Start(ctx, t)
		return err
	})
	if err != nil {
		return nil, unstarted{fmt.Errorf("start: %w", err)}
	}
	return func(s *clusterpb.TaskStatus) { s.Containers, s.HostPorts = containers, ports }, nil
}

// hostPorts returns the ports of the node for the task, as chosen before.
func (c *Controller) hostPorts(t *clusterpb.Task) ([]*clusterpb.Port, error) {
	c.mu.Lock()
	ports := c.status.GetHostPorts()
	c.mu.Unlock()
	if len(ports) > 0 || !slices.ContainsFunc(t.GetPorts(), port.HasHostMode) {
		return ports, nil
	}
	return c.cfg.HostPorts(t)
}

// finish reports the end of a task whose process is gone, and frees what it
// holds. The end is on disk before anything is freed: afterwards nobody could
// tell how it ended.
func (c *Controller) finish(ctx context.Context, next clusterpb.TaskState) {
	if c.released {
		return
	}
	if !lifecycle.Ended(c.observed()) {
		c.end(next, c.cause)
	}
	c.untilDone(ctx, "release", func(ctx context.Context) error { return c.cfg.Executor.Release(ctx, c.id) })
	c.mu.Lock()
	c.released = true
	c.mu.Unlock()
	c.cfg.Changed()
}

// end reports a final state: why it came to that, and how the process ended.
func (c *Controller) end(next clusterpb.TaskState, ended error) {
	reason := c.cause
	c.report(next, func(s *clusterpb.TaskStatus) {
		for _, container := range s.GetContainers() {
			container.Pid = 0
		}
		if exit := (exited{}); errors.As(ended, &exit) {
			if pod.MainStatus(s) == nil {
				s.Containers = []*clusterpb.ContainerStatus{{}}
			}
			main := pod.MainStatus(s)
			main.ExitCode, main.OomKilled = exit.Code, exit.OOMKilled
		}
		if reason != nil && next != lifecycle.Shutdown {
			s.Err = reason.Error()
		}
	})
}

// remove deletes all that is left of a discarded task.
func (c *Controller) remove(ctx context.Context) {
	c.untilDone(ctx, "remove", func(ctx context.Context) error { return c.cfg.Executor.Remove(ctx, c.id) })
}

// untilDone repeats what must not be left undone, until it is or ctx is done.
func (c *Controller) untilDone(ctx context.Context, what string, f func(context.Context) error) {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = 100*time.Millisecond, 10*time.Second, 2
	for {
		err := f(ctx)
		if err == nil || errdefs.IsNotFound(err) || ctx.Err() != nil {
			return
		}
		d := b.NextBackOff()
		c.log.Warn("will retry", "what", what, "in", d, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(d):
		}
	}
}
