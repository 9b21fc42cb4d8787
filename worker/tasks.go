package worker

import (
	"context"
	"net/netip"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/worker/task"
)

// upTimeout bounds how long a task waits for the node's network.
const upTimeout = 60 * time.Second

// initialStatus returns what a task was last observed in: by this node, or as
// managers know it, whichever is further.
func initialStatus(t *clusterpb.Task, own *clusterpb.TaskStatus) *clusterpb.TaskStatus {
	if own != nil && own.GetState() >= t.GetStatus().GetState() {
		return own
	}
	if t.GetStatus() == nil {
		return &clusterpb.TaskStatus{State: lifecycle.Assigned}
	}
	return t.GetStatus()
}

// order returns the task as its controller should see it: what managers gave
// up on must stop, although they no longer say so by its desired state.
func order(a *dispatchpb.TaskAssignment) *dispatchpb.TaskAssignment {
	if t := a.GetTask(); t.GetStatus().GetState() == lifecycle.Orphaned && t.GetDesired() < lifecycle.Shutdown {
		a = proto.CloneOf(a)
		a.Task.Desired = lifecycle.Shutdown
	}
	return a
}

func (w *Worker) taskConfig() task.Config {
	return task.Config{
		Executor: w.cfg.Executor, Mesh: taskMesh{w}, Log: w.cfg.Log,
		Save: w.cfg.State.SaveStatus, Report: w.reports.Put,
		Changed:   func() { wake(w.meshDue) },
		HostPorts: w.hostPorts,
	}
}

// taskMesh is what tasks need of the mesh.
type taskMesh struct{ w *Worker }

func (m taskMesh) Up(ctx context.Context) error {
	timeout := time.NewTimer(upTimeout)
	defer timeout.Stop()
	select {
	case <-m.w.up:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		// Attaching will fail and say why.
		return nil
	}
}

func (m taskMesh) Left(ctx context.Context, index uint64) error { return m.w.lowWater.wait(ctx, index) }

func (m taskMesh) Connections(ctx context.Context, addr netip.Addr) (int, error) {
	return m.w.cfg.Plane.Connections(ctx, addr)
}

// startTasks runs the controllers, those remembered now and all later ones.
func (w *Worker) startTasks(ctx context.Context, g *errgroup.Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start = func(c *task.Controller) {
		g.Go(func() error {
			c.Run(ctx)
			if ctx.Err() == nil {
				w.forget(c.Snapshot().Task.GetId())
			}
			return nil
		})
	}
	for _, c := range w.tasks {
		w.start(c)
	}
}

// forget drops a task of which nothing is left.
func (w *Worker) forget(id string) {
	w.mu.Lock()
	delete(w.tasks, id)
	delete(w.chosen, id)
	w.mu.Unlock()
	w.reports.Forget(id)
	if err := w.cfg.State.Forget(id); err != nil {
		w.cfg.Log.Warn("a task that is gone stays in the node's state", "task", id, "err", err)
	}
	wake(w.meshDue)
}

// steer tells controllers what managers want of their tasks.
func (w *Worker) steer(tasks []*dispatchpb.TaskAssignment, gone []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range tasks {
		a = order(a)
		id := a.GetTask().GetId()
		if c := w.tasks[id]; c != nil {
			c.Order(a)
			continue
		}
		c := task.New(w.taskConfig(), a, initialStatus(a.GetTask(), nil))
		w.tasks[id] = c
		w.start(c)
	}
	for _, id := range gone {
		if c := w.tasks[id]; c != nil {
			c.Discard()
		}
	}
}

// snapshots returns every task on the node as it is now.
func (w *Worker) snapshots() map[string]task.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make(map[string]task.Snapshot, len(w.tasks))
	for id, c := range w.tasks {
		all[id] = c.Snapshot()
	}
	return all
}

// restate queues what this node knows of its tasks and managers do not: what
// happened while none could be reached.
func (w *Worker) restate(tasks []*dispatchpb.TaskAssignment) {
	now := w.snapshots()
	for _, a := range tasks {
		t := a.GetTask()
		s, ok := now[t.GetId()]
		if ok && s.Status.GetState() > t.GetStatus().GetState() {
			w.reports.Put(t.GetId(), s.Status)
		}
	}
}

// hostPorts chooses the ports of a task in host mode. Only one task at a time
// may choose, and its choice is seen by the next once it is reported; so the
// choice is noted here until then.
func (w *Worker) hostPorts(t *clusterpb.Task) ([]*clusterpb.Port, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tasks := make(map[string]task.Snapshot, len(w.tasks))
	for id, c := range w.tasks {
		s := c.Snapshot()
		if ports := w.chosen[id]; len(ports) > 0 && len(s.Status.GetHostPorts()) == 0 {
			s.Status = proto.CloneOf(s.Status)
			s.Status.HostPorts = ports
		}
		tasks[id] = s
	}
	mesh := make(map[port.Key]bool, len(w.held.ports))
	for k := range w.held.ports {
		mesh[k] = true
	}
	ports, err := chooseHostPorts(t, tasks, mesh)
	if err == nil {
		w.chosen[t.GetId()] = ports
	}
	return ports, err
}

// sweepLoop removes what exists on the node although no manager knows it:
// left by a daemon that lost its state, or stopped between two steps.
func (w *Worker) sweepLoop(ctx context.Context) error {
	b := backoff.NewExponentialBackOff()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.swept:
		}
		if err := w.sweep(ctx); err != nil && ctx.Err() == nil {
			d := b.NextBackOff()
			w.cfg.Log.WarnContext(ctx, "look for unknown tasks: will retry", "in", d, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(d):
				wake(w.swept)
			}
			continue
		}
		b.Reset()
	}
}

func (w *Worker) sweep(ctx context.Context) error {
	before := w.snapshots()
	found, err := w.cfg.Executor.List(ctx)
	if err != nil {
		return err
	}
	for _, f := range found {
		// A task is known before anything of it exists, so what is not known after
		// the list was made never will be. What was known before it was is being
		// removed by its controller.
		w.mu.Lock()
		_, known := w.tasks[f.TaskID]
		w.mu.Unlock()
		if _, was := before[f.TaskID]; known || was {
			continue
		}
		w.cfg.Log.InfoContext(ctx, "removing a task that no manager knows", "task", f.TaskID, "running", f.Running)
		if err := w.cfg.Executor.Remove(ctx, f.TaskID); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}
