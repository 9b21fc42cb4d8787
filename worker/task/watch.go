package task

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/health"
)

// watch follows the process until it ends, turns unhealthy or is unwanted.
func (c *Controller) watch(ctx context.Context, t *clusterpb.Task) {
	c.process.follow(ctx)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	news, listens := make(chan *clusterpb.HealthStatus), make(chan string, 1)
	switch check, err := c.healthCheck(ctx, t); {
	case err != nil:
		if ctx.Err() == nil && !c.stopping() {
			c.cause = err
		}
		return
	case check != nil:
		wg.Go(func() { c.check(ctx, t, check, news) })
	case c.observed() == lifecycle.Starting && !c.process.gone():
		wg.Go(func() { listens <- awaitListeners(ctx, c.cfg.Mesh, t) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.process.ended:
			c.cause = c.process.cause
			return
		case <-c.unwanted:
			return
		case silent := <-listens:
			if !c.process.gone() {
				c.report(lifecycle.Running, func(s *clusterpb.TaskStatus) { s.Message = silent })
			}
		case h := <-news:
			if c.health(h) {
				return
			}
		}
	}
}

// stopping reports whether the task is not wanted any more.
func (c *Controller) stopping() bool {
	select {
	case <-c.unwanted:
		return true
	default:
		return false
	}
}

// health takes the outcome of a check and says whether it ends the watch.
func (c *Controller) health(h *clusterpb.HealthStatus) (end bool) {
	state := c.observed()
	switch h.GetState() {
	case clusterpb.HealthStatus_STATE_HEALTHY:
		state = lifecycle.Running
	case clusterpb.HealthStatus_STATE_UNHEALTHY:
		c.cause, end = unhealthy{output: lastOutput(h)}, true
	case clusterpb.HealthStatus_STATE_UNSPECIFIED, clusterpb.HealthStatus_STATE_STARTING:
	}
	c.mu.Lock()
	same := state == c.status.GetState() && h.GetState() == c.status.GetHealth().GetState() &&
		h.GetFailingStreak() == c.status.GetHealth().GetFailingStreak()
	if same {
		// One more success is no news for managers: it stays on the node.
		c.status = proto.CloneOf(c.status)
		c.status.Health = h
	}
	c.mu.Unlock()
	if !same {
		c.report(state, func(s *clusterpb.TaskStatus) { s.Health = h })
	}
	return end
}

func lastOutput(h *clusterpb.HealthStatus) string {
	if n := len(h.GetLog()); n > 0 {
		return h.GetLog()[n-1].GetOutput()
	}
	return ""
}

// healthCheck returns the task's check, or nil when it has none.
func (c *Controller) healthCheck(ctx context.Context, t *clusterpb.Task) (check *clusterpb.HealthCheck, err error) {
	prober, ok := c.cfg.Executor.(executor.Prober)
	if !ok {
		return executor.MergeHealth(pod.Main(t.GetSpec()).GetHealth(), nil), nil
	}
	ctx, cancel := while(ctx, c.unwanted)
	defer cancel()
	err = persist(ctx, forever, func(ctx context.Context) (err error) {
		check, err = prober.HealthCheck(ctx, t)
		return err
	})
	return check, err
}

// check runs the health checks and passes their outcome on.
func (c *Controller) check(ctx context.Context, t *clusterpb.Task, check *clusterpb.HealthCheck, news chan<- *clusterpb.HealthStatus) {
	c.mu.Lock()
	since, running := c.status.GetAt().AsTime(), c.status.GetState() == lifecycle.Running
	c.mu.Unlock()
	tracker := health.NewTracker(check, since)
	if running {
		tracker.Resume()
	}
	checker := &health.Checker{TaskID: c.id, Check: check, Addresses: network.Addresses(t.GetAttachments()), Exec: c.exec}
	checker.Run(ctx, tracker, func(tr *health.Tracker) {
		select {
		case news <- tr.Status():
		case <-ctx.Done():
		}
	})
}

// exec runs a check's command. A runtime that is away is waited for within the
// check's timeout; it says nothing about the task.
func (c *Controller) exec(ctx context.Context, id string, argv []string) (status int32, output string, err error) {
	prober, ok := c.cfg.Executor.(executor.Prober)
	if !ok {
		return 0, "", errNoExec
	}
	err = persist(ctx, forever, func(ctx context.Context) (err error) {
		status, output, err = prober.Exec(ctx, id, argv)
		return err
	})
	return status, output, err
}
