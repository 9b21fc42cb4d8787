package task

import (
	"context"
	"errors"
	"net/netip"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
)

const (
	// sickDrain bounds how long established connections to a task that turned
	// unhealthy may go on: what it still holds is most likely stuck.
	sickDrain = 2 * time.Second
	// leaveTimeout bounds the wait for every node's mesh to let go.
	leaveTimeout = 5 * time.Second
	// pollPeriod is how often connections are counted.
	pollPeriod = 100 * time.Millisecond
	// maxPoll bounds how long the next count waits after some that failed.
	maxPoll = 2 * time.Second
	// killTimeout bounds the wait for a killed process to be gone, before it
	// is tried again.
	killTimeout = 10 * time.Second
)

var errNoExec = errors.New("this runtime cannot run health checks inside containers")

// stop takes the task out of the mesh, lets its connections end, and ends its
// process. It leaves the cleaning up to finish.
func (c *Controller) stop(ctx context.Context, t *clusterpb.Task, act action, next clusterpb.TaskState) {
	c.process.follow(ctx)
	c.leave()
	if len(t.GetPorts()) > 0 && c.observed() == lifecycle.Running && !c.discarded() {
		c.drain(ctx, t, act)
	}
	c.untilDone(ctx, "stop", func(ctx context.Context) error { return c.terminate(ctx, t) })
	if ctx.Err() != nil {
		return
	}
	c.end(next, c.process.cause)
}

// leave takes the task out of this node's mesh at once, before managers say so.
func (c *Controller) leave() {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	c.cfg.Changed()
}

// drain waits until no node sends new connections to the task, and then until
// those it has are done; both bounded, both cut short by the process's end.
func (c *Controller) drain(ctx context.Context, t *clusterpb.Task, act action) {
	ctx, cancel := while(ctx, c.process.ended)
	defer cancel()
	ctx, stop := while(ctx, c.gone)
	defer stop()

	limit := spec.DrainTimeout(pod.Main(t.GetSpec()))
	if act == evict {
		// Managers hear of the bad health and take the task out of the other
		// nodes' meshes; which index that is nobody knows yet.
		limit = min(limit, sickDrain)
	} else {
		left, done := context.WithTimeout(ctx, leaveTimeout)
		err := c.cfg.Mesh.Left(left, t.GetDesiredIndex())
		done()
		if err != nil && ctx.Err() == nil {
			c.log.Warn("stopping although not every node has said that its mesh let go", "waited", leaveTimeout)
		}
	}
	c.idle(ctx, t, limit)
}

// idle waits up to limit until no connection leads to the task.
func (c *Controller) idle(ctx context.Context, t *clusterpb.Task, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	told := "" // the last failure logged
	for wait := pollPeriod; ctx.Err() == nil; {
		n, err := c.connections(ctx, t)
		switch {
		case err == nil && n == 0:
			return
		case err == nil:
			wait, told = pollPeriod, ""
		case ctx.Err() == nil: // what cannot be counted is waited for
			wait = min(2*wait, maxPoll)
			if reason := err.Error(); reason != told {
				told = reason
				c.log.Warn("count connections", "err", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// connections counts what leads to the task.
func (c *Controller) connections(ctx context.Context, t *clusterpb.Task) (int, error) {
	var addrs []netip.Addr
	for _, a := range network.Addresses(t.GetAttachments()) {
		if addr, err := netip.ParseAddr(a); err == nil {
			addrs = append(addrs, addr)
		}
	}
	return c.cfg.Mesh.Connections(ctx, addrs)
}

// terminate asks the process to end and kills it when it does not.
func (c *Controller) terminate(ctx context.Context, t *clusterpb.Task) error {
	if c.process.gone() {
		return nil
	}
	if err := c.cfg.Executor.Signal(ctx, t); err != nil {
		return err
	}
	if c.process.within(ctx, spec.StopGracePeriod(pod.Main(t.GetSpec()))) {
		return nil
	}
	if err := c.cfg.Executor.Kill(ctx, c.id); err != nil {
		return err
	}
	if !c.process.within(ctx, killTimeout) {
		return errUnkillable
	}
	return nil
}

var errUnkillable = errors.New("the process does not end although it was killed")
