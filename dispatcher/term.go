package dispatcher

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster/muster/dispatcher/lease"
	"github.com/muster/muster/dispatcher/plan"
	"github.com/muster/muster/proto/spec"
)

// term is what a dispatcher keeps while its manager leads. It is made anew
// with every leadership: what must outlast one is in the replicated state.
type term struct {
	cfg  Config
	log  *slog.Logger
	done <-chan struct{} // closed when leadership ends
	stop context.CancelFunc

	plan     atomic.Pointer[plan.Plan]
	planned  chan struct{} // closed once there is a plan
	statuses *statusQueue
	nodes    *roster

	// sessions counts the goroutines of sessions. None is added once closed.
	sessions sync.WaitGroup
	mu       sync.Mutex
	closed   bool
}

func newTerm(ctx context.Context, cfg Config) *term {
	ctx, stop := context.WithCancel(ctx)
	st := cfg.Store.State()
	statuses := newStatusQueue()
	leases := lease.New(st.Nodes(), spec.HeartbeatPeriod(st.Cluster().GetSpec()), time.Now())
	return &term{
		cfg: cfg, log: cfg.Log, done: ctx.Done(), stop: stop,
		planned: make(chan struct{}), statuses: statuses, nodes: newRoster(leases, statuses),
	}
}

// enter counts a session in, unless the term is over.
func (t *term) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.sessions.Add(1)
	return true
}

func (t *term) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.stop()
}

// wake leaves a message that there is something to do; one is enough.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
