package worker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/agent"
	"github.com/muster/muster/ingress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/report"
	"github.com/muster/muster/worker/state"
	"github.com/muster/muster/worker/task"
)

// Plane is the node's data plane; ingress.Plane implements it. It must call
// [Worker.Applied] with the index of each Want the kernel holds.
type Plane interface {
	Set(w *ingress.Want)
	Connections(ctx context.Context, addr netip.Addr) (int, error)
}

// Images is the node's image store.
type Images interface {
	// Held returns the images the node holds.
	Held(ctx context.Context) ([]*clusterpb.NodeImage, error)
	// Changed tells its one reader that Held may return something else.
	Changed() <-chan struct{}
}

// Logs are the logs of the node's tasks; tasklog.Reader implements it.
type Logs interface {
	// Read calls emit for each message of a task's log that opts ask for, oldest
	// first, and returns nil after the last. An error of emit ends the reading.
	Read(ctx context.Context, taskID string, opts *logspb.LogOptions, emit func(*logspb.LogMessage) error) error
}

// Config is what a Worker needs. Fields are required unless they say otherwise.
type Config struct {
	NodeID   string
	Executor executor.Executor
	// State is the node's memory; the caller closes it after Run.
	State *state.DB
	Plane Plane
	// Netns returns the path of a task's network namespace.
	Netns func(taskID string) string
	// Images may be nil: then the node offers none to others.
	Images Images
	// Logs are the logs of the node's tasks; nil when it keeps none.
	Logs Logs

	// Managers are control addresses, HOST:PORT, to try beside those the
	// cluster told. Local is the one of this node's own manager, or "".
	Managers []string
	Local    string
	Dial     func(ctx context.Context, addr string) (*grpc.ClientConn, error)
	// Describe returns what the node tells about itself. DataAddr must be set.
	Describe func(ctx context.Context) (*clusterpb.NodeDescription, error)
	// Heard is called with the cluster's settings and the other nodes, at the
	// start with those remembered and whenever managers sent any. It must not
	// block. It may be nil.
	Heard func(settings *dispatchpb.Settings, peers []*dispatchpb.Peer)
	Log   *slog.Logger
}

// Worker is the agent of one node.
type Worker struct {
	cfg      Config
	dataAddr string
	reports  *report.Queue
	lowWater *lowWaterMark

	due     chan struct{} // the session may have something to say
	meshDue chan struct{} // the mesh may have to change
	swept   chan struct{} // unknown tasks are to be looked for
	up      chan struct{} // closed once tasks can be attached
	setUp   func()
	// connected is closed once a manager has accepted the node.
	connected    chan struct{}
	setConnected func()

	mu    sync.Mutex
	held  *held
	tasks map[string]*task.Controller
	start func(*task.Controller) // runs a controller; nil before Run
	// applied is the highest index the kernel holds, acked what was said of it
	// in this session.
	applied, acked uint64
	imagesDue      bool
	imageNews      *dispatchpb.ReportImages // not said yet
	// chosen are the host ports of tasks about to start.
	chosen map[string][]*clusterpb.Port

	logs *logPublisher
}

// New returns a worker that goes on from what cfg.State remembers.
func New(cfg Config) (*Worker, error) {
	saved, err := cfg.State.Load()
	if err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: cfg, lowWater: newLowWaterMark(), held: remembered(saved), tasks: make(map[string]*task.Controller),
		chosen: make(map[string][]*clusterpb.Port),
		due:    make(chan struct{}, 1), meshDue: make(chan struct{}, 1), swept: make(chan struct{}, 1), up: make(chan struct{}),
		connected: make(chan struct{}),
	}
	w.setConnected = sync.OnceFunc(func() { close(w.connected) })
	w.setUp = sync.OnceFunc(func() { close(w.up) })
	w.reports = report.New(func() { wake(w.due) })
	w.logs = newLogPublisher(cfg)
	for id, a := range saved.Tasks {
		w.tasks[id] = task.New(w.taskConfig(), a, initialStatus(a.GetTask(), saved.Statuses[id]))
	}
	for id := range saved.Statuses {
		if saved.Tasks[id] == nil {
			if err := cfg.State.Forget(id); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// Connected is closed once a manager has accepted the node for the first time.
func (w *Worker) Connected() <-chan struct{} { return w.connected }

// Run makes the node what managers say until ctx is done. Containers, network
// and mesh stay as they are then.
func (w *Worker) Run(ctx context.Context) error {
	desc, err := w.cfg.Describe(ctx)
	if err != nil {
		return fmt.Errorf("describe the node: %w", err)
	}
	w.dataAddr = desc.GetDataAddr()
	w.hear()

	g, ctx := errgroup.WithContext(ctx)
	// The mesh first: tasks that run already must not leave it.
	g.Go(func() error { return w.meshLoop(ctx) })
	w.startTasks(ctx, g)
	g.Go(func() error { return w.sweepLoop(ctx) })
	g.Go(func() error { return w.imageLoop(ctx) })
	g.Go(func() error { return w.logs.run(ctx) })
	g.Go(func() error {
		return agent.Run(ctx, agent.Config{
			Managers: w.managers, Local: w.cfg.Local, Dial: w.cfg.Dial, Handler: (*handler)(w), Log: w.cfg.Log,
		})
	})
	return g.Wait()
}

// managers returns the managers to try: those the cluster named last, and
// those the daemon was given.
func (w *Worker) managers() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := make(map[string]bool)
	var all []string
	for _, list := range [][]string{w.held.settings.GetManagers(), w.cfg.Managers} {
		for _, addr := range list {
			if !seen[addr] {
				seen[addr] = true
				all = append(all, addr)
			}
		}
	}
	return all
}

// Applied tells that the kernel holds the Want of the index.
func (w *Worker) Applied(index uint64) {
	w.setUp()
	w.mu.Lock()
	w.applied = max(w.applied, index)
	w.mu.Unlock()
	wake(w.due)
}

// hear passes settings and peers on.
func (w *Worker) hear() {
	w.mu.Lock()
	h := w.held
	w.mu.Unlock()
	if w.cfg.Heard == nil || h.settings == nil {
		return
	}
	peers := make([]*dispatchpb.Peer, 0, len(h.peers))
	for _, p := range h.peers {
		peers = append(peers, p)
	}
	w.cfg.Heard(h.settings, peers)
}

// wake leaves a message that there is something to do; one is enough.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
