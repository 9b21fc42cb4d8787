package ingress

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/muster/muster/ingress/namespace"
)

// DefaultResync is how often the kernel is compared with what it should hold
// if nothing is noticed.
const DefaultResync = 30 * time.Second

// Config configures a Plane. The zero value of each field but TaskDir is usable.
type Config struct {
	// Netns is the path of the network namespace to work in; empty for that of the process.
	Netns string
	// TaskDir is where tasks have their network namespaces, each by its id. It is
	// made if need be. Required when there are tasks.
	TaskDir string
	// VNI is the VXLAN network identifier, 1 to 2^24-1; DefaultVNI if zero.
	VNI int
	// Port is the UDP port of VXLAN; DefaultPort if zero.
	Port int
	// Resync is how often the kernel is compared with what it should hold; DefaultResync if zero.
	Resync time.Duration
	// Applied, if set, is called with the index of each Want once the kernel
	// holds it. It must not block for long.
	Applied func(index uint64)
	// Log is where to log; slog.Default() if nil.
	Log *slog.Logger
}

// Plane is the data plane of one node.
type Plane struct {
	cfg     Config
	log     *slog.Logger
	changed chan struct{} // holds one token if want changed
	watcher *watcher
	want    atomic.Pointer[Want]
	repairs atomic.Uint64
	index   atomic.Uint64         // of the Want that was applied last
	failure atomic.Pointer[error] // of the last apply
	spent   atomic.Int64          // ns of a core, on making the kernel hold what it should

	ready chan struct{} // closed when the overlay is there for the first time
	made  sync.Once     // closes ready
	mtu   atomic.Int64  // of tasks' devices, once ready

	// applying lets one goroutine at a time change what apply changes, and
	// guards what follows it.
	applying *semaphore.Weighted
	known    *state // what the kernel holds if nobody else changed it, nil if that is not known
	held     *Want  // of which known was made
	zoneless bool   // the kernel has no conntrack zones

	census *census

	mu       sync.Mutex
	attached map[string]bool // tasks attached by this process
	detached map[string]bool // tasks detached that Want may still name
	busy     map[string]*taskLock
}

// taskLock serialises work on one task.
type taskLock struct {
	*semaphore.Weighted
	users int
}

// New returns a data plane that does nothing until it is run.
func New(cfg Config) *Plane {
	if cfg.VNI == 0 {
		cfg.VNI = DefaultVNI
	}
	if cfg.Port == 0 {
		cfg.Port = DefaultPort
	}
	if cfg.Resync == 0 {
		cfg.Resync = DefaultResync
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	p := &Plane{
		cfg: cfg, log: cfg.Log, changed: make(chan struct{}, 1), ready: make(chan struct{}),
		watcher:  &watcher{netns: cfg.Netns, log: cfg.Log, noticed: make(chan struct{}, 1)},
		applying: semaphore.NewWeighted(1),
		attached: make(map[string]bool), detached: make(map[string]bool), busy: make(map[string]*taskLock),
	}
	p.census = newCensus(func(addrs []netip.Addr) (map[netip.Addr]int, time.Duration, error) {
		return connections(p.in, addrs)
	})
	return p
}

// Set says what the kernel should hold from now on. It does not wait; of
// several Wants set while one is applied, only the last counts.
func (p *Plane) Set(w *Want) {
	w, bad := w.sound()
	for _, err := range bad {
		p.log.Warn("the data plane leaves a node out", "err", err)
	}
	p.want.Store(w)
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Index is that of the last Want which the kernel held all of, 0 before.
func (p *Plane) Index() uint64 { return p.index.Load() }

// Repairs is how many things had drifted in the kernel and were put right.
func (p *Plane) Repairs() uint64 { return p.repairs.Load() }

// alone waits until nobody else changes what the kernel holds, or looks at all of
// it.
func alone(ctx context.Context, p *Plane) (release func(), err error) {
	if err := p.applying.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait for the data plane: %w", err)
	}
	return func() { p.applying.Release(1) }, nil
}

// in calls f with the kernel of the plane's network namespace.
func (p *Plane) in(f func(*kernel) error) error {
	return namespace.In(p.cfg.Netns, func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		return f(k)
	})
}

// lockTask waits until nobody else works on the task.
func lockTask(ctx context.Context, p *Plane, id string) (unlock func(), err error) {
	p.mu.Lock()
	l := p.busy[id]
	if l == nil {
		l = &taskLock{Weighted: semaphore.NewWeighted(1)}
		p.busy[id] = l
	}
	l.users++
	p.mu.Unlock()
	leave := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(p.busy, id)
		}
	}
	if err := l.Acquire(ctx, 1); err != nil {
		leave()
		return nil, fmt.Errorf("wait for the network of task %s: %w", id, err)
	}
	return func() { l.Release(1); leave() }, nil
}
