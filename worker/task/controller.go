package task

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/internal/text"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/worker/executor"
)

// Mesh is what a task's life has to do with the node's network.
type Mesh interface {
	// Up waits until tasks can be attached.
	Up(ctx context.Context) error
	// Left waits until every live node's mesh holds the state of the index, so
	// that none sends new connections to tasks that should stop by then.
	Left(ctx context.Context, index uint64) error
	// Silent returns those of the ports on which nothing in the task listens for
	// TCP yet.
	Silent(ctx context.Context, taskID string, ports []uint16) ([]uint16, error)
	// Connections counts the connections that still lead to the addresses of a
	// task of this node.
	Connections(ctx context.Context, addrs []netip.Addr) (int, error)
}

// Config is what the controllers of a node share.
type Config struct {
	Executor executor.Executor
	Mesh     Mesh
	// Save remembers a status on this node; Report tells it to the managers.
	// Neither may wait for a manager. They may keep the status.
	Save   func(taskID string, status *clusterpb.TaskStatus) error
	Report func(taskID string, status *clusterpb.TaskStatus)
	// Changed tells that Snapshot may return something else.
	Changed func()
	// HostPorts chooses the node's ports for the task's ports in host mode.
	HostPorts func(t *clusterpb.Task) ([]*clusterpb.Port, error)
	Log       *slog.Logger
}

// Controller brings one task along.
type Controller struct {
	cfg Config
	log *slog.Logger
	id  string

	// unwanted is closed once the task should stop, gone once managers do not
	// know it any more. ordered receives when the order changed.
	unwanted, gone       chan struct{}
	setUnwanted, setGone func()
	ordered              chan struct{}

	mu     sync.Mutex
	task   *clusterpb.Task
	status *clusterpb.TaskStatus
	// sources are where the task's images may be fetched from.
	sources []*dispatchpb.ImageSource
	// leaving: no new connections from this node's mesh.
	leaving  bool
	released bool
	lastNews time.Time // of progress, to limit it

	// What follows belongs to Run.
	memory   *memory
	prepared bool // since the daemon started
	cause    error
	process  *process
}

// New returns the controller of a task that was last observed in status.
func New(cfg Config, a *dispatchpb.TaskAssignment, status *clusterpb.TaskStatus) *Controller {
	t := a.GetTask()
	c := &Controller{
		cfg: cfg, id: t.GetId(), task: t, sources: a.GetSources(), status: status,
		log:     cfg.Log.With("task", t.GetId(), "service", t.GetServiceName()),
		ordered: make(chan struct{}, 1), unwanted: make(chan struct{}), gone: make(chan struct{}),
	}
	c.memory = newMemory(func(s *clusterpb.TaskStatus) error { return cfg.Save(c.id, s) },
		func() *clusterpb.TaskStatus { return c.Snapshot().Status })
	c.setUnwanted = sync.OnceFunc(func() { close(c.unwanted) })
	c.setGone = sync.OnceFunc(func() { close(c.gone) })
	if t.GetDesired() >= lifecycle.Shutdown {
		c.setUnwanted()
	}
	return c
}

// Order tells what managers want of the task now.
func (c *Controller) Order(a *dispatchpb.TaskAssignment) {
	c.mu.Lock()
	c.task, c.sources = a.GetTask(), a.GetSources()
	c.mu.Unlock()
	if a.GetTask().GetDesired() >= lifecycle.Shutdown {
		c.setUnwanted()
	}
	select {
	case c.ordered <- struct{}{}:
	default:
	}
	c.cfg.Changed()
}

// Discard ends a task that managers do not know any more: it is stopped
// without draining, removed with all it left, and not reported.
func (c *Controller) Discard() {
	c.setUnwanted()
	c.setGone()
	c.cfg.Changed()
}

// Snapshot is what others need to know of a task now.
type Snapshot struct {
	Task   *clusterpb.Task
	Status *clusterpb.TaskStatus
	// Serving: the mesh of this node may send it new connections.
	Serving bool
	// Attached: it has a network namespace.
	Attached bool
}

// Snapshot returns the task as it is now.
func (c *Controller) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.status.GetState()
	return Snapshot{
		Task: c.task, Status: c.status,
		Serving: state == lifecycle.Running && c.task.GetDesired() <= lifecycle.Running && !c.leaving && !c.discarded() &&
			c.status.GetHealth().GetState() != clusterpb.HealthStatus_STATE_UNHEALTHY,
		Attached: state >= lifecycle.Ready && !c.released && len(c.task.GetAttachments()) > 0,
	}
}

func (c *Controller) discarded() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// Run brings the task along until ctx is done, which leaves its process
// running, or until it was discarded and nothing of it is left.
func (c *Controller) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.process = newProcess(c.cfg.Executor, c.id)
	defer c.process.join()
	defer cancel()

	for ctx.Err() == nil {
		t, observed := c.order()
		act, next := step(t.GetDesired(), observed, c.cause)
		switch act {
		case note:
			c.report(next, nil)
		case prepare:
			c.advance(ctx, next, nil, c.prepare(ctx, t))
		case start:
			edit, err := c.start(ctx, t)
			c.advance(ctx, next, edit, err)
		case watch:
			c.watch(ctx, t)
		case stop, evict:
			c.stop(ctx, t, act, next)
		case clean:
			c.finish(ctx, next)
			if lifecycle.Ended(c.observed()) && c.await(ctx, c.gone) {
				c.remove(ctx)
				return
			}
		case rest:
			c.await(ctx, c.ordered, c.unwanted)
		}
	}
}

// order returns the task as it should be handled now and its observed state.
func (c *Controller) order() (*clusterpb.Task, clusterpb.TaskState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.task
	if c.discarded() && t.GetDesired() < lifecycle.Remove {
		t = proto.CloneOf(t)
		t.Desired = lifecycle.Remove
	}
	return t, c.status.GetState()
}

func (c *Controller) observed() clusterpb.TaskState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status.GetState()
}

// await waits for one of the channels and says whether it came before ctx
// was done.
func (c *Controller) await(ctx context.Context, chans ...<-chan struct{}) bool {
	second := (<-chan struct{})(nil)
	if len(chans) > 1 {
		second = chans[1]
	}
	select {
	case <-ctx.Done():
		return false
	case <-chans[0]:
	case <-second:
	}
	return true
}

// advance reports next when err is nil, and notes the cause otherwise.
func (c *Controller) advance(ctx context.Context, next clusterpb.TaskState, edit func(*clusterpb.TaskStatus), err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil:
		c.report(next, edit)
	default:
		// When the task is unwanted by now, step goes by that and not by the
		// error that cutting the work short gave.
		c.cause = err
	}
}

// report moves the observed state on, with what edit changes beside it. It does
// nothing where that would be a step back: a transfer that several tasks share
// may tell of its progress after one of them has ended.
func (c *Controller) report(state clusterpb.TaskState, edit func(*clusterpb.TaskStatus)) {
	c.mu.Lock()
	if !lifecycle.Advances(c.status.GetState(), state) {
		c.mu.Unlock()
		return
	}
	next := proto.CloneOf(c.status)
	if next == nil {
		next = &clusterpb.TaskStatus{}
	}
	if next.GetState() != state {
		next.Message = ""
	}
	next.State, next.At, next.AppliedAt = state, timestamppb.Now(), nil
	if edit != nil {
		edit(next)
	}
	text.CleanMessage(next) // what checks print and errors quote comes from anywhere
	c.status = next
	c.mu.Unlock()

	c.log.Debug("task moves on", "to", lifecycle.Name(state), "err", next.GetErr())
	if !c.discarded() {
		if err := c.memory.remember(); err != nil {
			c.log.Warn("status is not on disk: a restart of the daemon may see an older one", "err", err)
		}
		c.cfg.Report(c.id, next)
	}
	c.cfg.Changed()
}
