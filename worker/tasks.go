package worker

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/worker/task"
)

// tasks are the tasks on the node, each with its controller.
type tasks struct {
	// cfg is what the controllers share; its HostPorts is set for each of them.
	cfg task.Config
	// forgotten is called with each task of which nothing is left.
	forgotten func(id string)

	mu    sync.Mutex
	byID  map[string]*task.Controller
	start func(*task.Controller) // runs a controller; nil before run
	// chosen are the host ports of tasks about to start.
	chosen map[string][]*clusterpb.Port
	// mesh are the ports that every node answers on.
	mesh map[port.Key]*dispatchpb.MeshPort
	// own are the ports on which the node listens for the cluster.
	own []port.Key
}

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

// add makes the controller of a task, which was last observed by this node in
// status, or never when that is nil. t.mu is held, or nobody else knows t yet.
func (t *tasks) add(a *dispatchpb.TaskAssignment, status *clusterpb.TaskStatus) *task.Controller {
	cfg := t.cfg
	cfg.HostPorts = t.hostPorts
	c := task.New(cfg, a, initialStatus(a.GetTask(), status))
	t.byID[a.GetTask().GetId()] = c
	return c
}

// run runs the controllers in g, those that are known and all that will be.
func (t *tasks) run(ctx context.Context, g *errgroup.Group) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.start = func(c *task.Controller) {
		g.Go(func() error {
			c.Run(ctx)
			if ctx.Err() == nil {
				t.forget(c.Snapshot().Task.GetId())
			}
			return nil
		})
	}
	for _, c := range t.byID {
		t.start(c)
	}
}

func (t *tasks) forget(id string) {
	t.mu.Lock()
	delete(t.byID, id)
	delete(t.chosen, id)
	t.mu.Unlock()
	t.forgotten(id)
}

// steer tells controllers what managers want of their tasks, and which ports
// are not for them to choose from now on.
func (t *tasks) steer(assigned []*dispatchpb.TaskAssignment, gone []string, mesh map[port.Key]*dispatchpb.MeshPort, own []port.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mesh, t.own = mesh, own
	for _, a := range assigned {
		a = order(a)
		if c := t.byID[a.GetTask().GetId()]; c != nil {
			c.Order(a)
		} else {
			t.start(t.add(a, nil))
		}
	}
	for _, id := range gone {
		if c := t.byID[id]; c != nil {
			c.Discard()
		}
	}
}

// snapshots returns every task on the node as it is now.
func (t *tasks) snapshots() map[string]task.Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]task.Snapshot, len(t.byID))
	for id, c := range t.byID {
		all[id] = c.Snapshot()
	}
	return all
}

func (t *tasks) has(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id] != nil
}

// hostPorts chooses the ports of a task in host mode. Only one task at a time
// may choose, and its choice is seen by the next once it is reported; so the
// choice is noted here until then.
func (t *tasks) hostPorts(of *clusterpb.Task) ([]*clusterpb.Port, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	others := make(map[string]task.Snapshot, len(t.byID))
	for id, c := range t.byID {
		s := c.Snapshot()
		if ports := t.chosen[id]; len(ports) > 0 && len(s.Status.GetHostPorts()) == 0 {
			s.Status = proto.CloneOf(s.Status)
			s.Status.HostPorts = ports
		}
		others[id] = s
	}
	ports, err := chooseHostPorts(of, others, t.mesh, t.own)
	if err == nil {
		t.chosen[of.GetId()] = ports
	}
	return ports, err
}
