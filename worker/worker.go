package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/muster/muster/dispatcher/agent"
	"github.com/muster/muster/ingress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/worker/report"
	"github.com/muster/muster/worker/state"
	"github.com/muster/muster/worker/task"
)

// Worker is the agent of one node.
type Worker struct {
	cfg      Config
	instance string // of this run of the daemon, see dispatchpb.Register
	dataAddr string

	tasks     *tasks
	mesh      *mesh
	images    *imageReporter
	describer *describer
	logs      *logPublisher
	sweeper   *sweeper
	reports   *report.Queue

	due     chan struct{} // the session may have something to say
	routing latch         // see Routing

	mu   sync.Mutex
	held *held
	// applied is the highest index the kernel holds, acked what was said of it
	// in this session.
	applied, acked uint64
}

// New returns a worker that goes on from what cfg.State remembers.
func New(cfg Config) (*Worker, error) {
	saved, err := cfg.State.Load()
	if err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: cfg, instance: newInstance(), mesh: newMesh(cfg.Plane), logs: newLogPublisher(cfg),
		due: make(chan struct{}, 1), routing: newLatch(), held: remembered(saved),
	}
	w.reports = report.New(w.wake)
	w.images = &imageReporter{images: cfg.Images, log: cfg.Log, changed: w.wake}
	w.describer = &describer{describe: cfg.Describe, troubles: cfg.Troubles, log: cfg.Log, changed: w.wake, stopping: newLatch()}
	w.tasks = w.newTasks(saved)
	w.sweeper = &sweeper{tasks: w.tasks, executor: cfg.Executor, log: cfg.Log, due: make(chan struct{}, 1)}
	for id := range saved.Statuses {
		if saved.Tasks[id] == nil {
			if err := cfg.State.Forget(id); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// newTasks returns the tasks that an earlier run of the daemon left.
func (w *Worker) newTasks(saved *state.Saved) *tasks {
	t := &tasks{
		cfg: task.Config{
			Executor: w.cfg.Executor, Mesh: w.mesh, Log: w.cfg.Log,
			Save: w.cfg.State.SaveStatus, Report: w.reports.Put,
			Changed: func() { wake(w.mesh.due) },
		},
		forgotten: w.forget,
		byID:      make(map[string]*task.Controller),
		chosen:    make(map[string][]*clusterpb.Port),
		mesh:      w.held.ports,
		own:       w.held.own(w.cfg.Own),
	}
	for id, a := range saved.Tasks {
		t.add(a, saved.Statuses[id])
	}
	return t
}

// Routing is closed once the kernel holds what a manager has said in this run:
// the node answers on the cluster's ports as the others do.
func (w *Worker) Routing() <-chan struct{} { return w.routing.closed }

// Run makes the node what managers say until ctx is done. Containers, network
// and mesh stay as they are then.
func (w *Worker) Run(ctx context.Context) error {
	desc, err := w.cfg.Describe(ctx)
	if err != nil {
		return fmt.Errorf("describe the node: %w", err)
	}
	w.dataAddr = desc.GetDataAddr()
	w.passOn(w.told())

	g, ctx := errgroup.WithContext(ctx)
	// The mesh first: tasks that run already must not leave it.
	g.Go(func() error { return w.mesh.run(ctx, w.want) })
	w.tasks.run(ctx, g)
	g.Go(func() error { return w.sweeper.run(ctx) })
	g.Go(func() error { return w.images.run(ctx) })
	g.Go(func() error { return w.images.keep(ctx) })
	g.Go(func() error { return w.describer.run(ctx) })
	g.Go(func() error { return w.logs.run(ctx) })
	g.Go(func() error {
		return agent.Run(ctx, agent.Config{
			Managers: w.managers, Local: w.cfg.Local, Dial: w.cfg.Dial, Handler: (*handler)(w), Log: w.cfg.Log,
		})
	})
	return g.Wait()
}

// Applied tells that the kernel holds the Want of the index, which is 0 for one
// made of what the node remembers.
func (w *Worker) Applied(index uint64) {
	w.mesh.up.set()
	if index > 0 {
		w.routing.set()
	}
	w.mu.Lock()
	w.applied = max(w.applied, index)
	w.mu.Unlock()
	w.wake()
}

// wake makes the session look for something to say.
func (w *Worker) wake() { wake(w.due) }

// told returns what managers said last.
func (w *Worker) told() *held {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held
}

// want returns what the node's kernel should hold now.
func (w *Worker) want() *ingress.Want {
	// Tasks first: a task is attached before it is held ready, so a want never
	// lacks one that an older one had.
	snapshots := w.tasks.snapshots()
	return wantOf(w.told(), snapshots, w.cfg.NodeID, w.dataAddr, w.cfg.Own...)
}

// managers returns the managers to try: those the cluster named last, and
// those the daemon was given.
func (w *Worker) managers() (all []string) {
	for _, addr := range slices.Concat(w.told().settings.GetManagers(), w.cfg.Managers) {
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all
}

// passOn tells the rest of the daemon the settings and peers that managers
// sent.
func (w *Worker) passOn(h *held) {
	if w.cfg.Heard == nil || h.settings == nil {
		return
	}
	peers := make([]*dispatchpb.Peer, 0, len(h.peers))
	for _, p := range h.peers {
		peers = append(peers, p)
	}
	w.cfg.Heard(h.settings, peers)
}

// forget drops what is remembered of a task of which nothing is left.
func (w *Worker) forget(id string) {
	w.reports.Forget(id)
	if err := w.cfg.State.Forget(id); err != nil {
		w.cfg.Log.Warn("a task that is gone stays in the node's state", "task", id, "err", err)
	}
	wake(w.mesh.due)
}
