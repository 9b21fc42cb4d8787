package dispatcher

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster/muster/dispatcher/lease"
	"github.com/muster/muster/dispatcher/plan"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/spec"
)

// term is what a dispatcher keeps while its manager leads. It is made anew
// with every leadership: what must outlast one is in the replicated state.
type term struct {
	cfg  Config
	log  *slog.Logger
	done <-chan struct{} // closed when leadership ends
	stop context.CancelFunc

	// sessions counts the goroutines of sessions.
	sessions sync.WaitGroup

	plan     atomic.Pointer[plan.Plan]
	planned  chan struct{} // closed once there is a plan
	statuses *statusQueue

	// lowWaterDue asks the plan loop to look at the low-water mark again.
	lowWaterDue chan struct{}
	// leaseDue asks the lease loop to look at the leases again.
	leaseDue chan struct{}

	mu       sync.Mutex
	closed   bool
	byNode   map[string]*session
	leases   *lease.Table
	lowWater uint64
}

func newTerm(ctx context.Context, cfg Config) *term {
	ctx, stop := context.WithCancel(ctx)
	st := cfg.Store.State()
	return &term{
		cfg: cfg, log: cfg.Log, done: ctx.Done(), stop: stop,
		planned:     make(chan struct{}),
		statuses:    newStatusQueue(),
		lowWaterDue: make(chan struct{}, 1),
		leaseDue:    make(chan struct{}, 1),
		byNode:      make(map[string]*session),
		leases:      lease.New(st.Nodes(), spec.HeartbeatPeriod(st.Cluster().GetSpec()), time.Now()),
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

func (t *term) session(nodeID string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byNode[nodeID]
}

// admit makes s the node's session and ends the one it had.
func (t *term) admit(s *session, addr string) {
	now := time.Now()
	t.mu.Lock()
	old := t.byNode[s.nodeID]
	t.byNode[s.nodeID] = s
	if t.leases.Connect(s.nodeID, now) {
		// Its good-bye may still be on its way to the state, behind which it
		// was found ready.
		t.statuses.putNode(ready(s.nodeID, addr, now))
	}
	t.mu.Unlock()
	if old != nil {
		old.kick()
	}
	wake(t.leaseDue)
}

// dismiss notes that s ended, unless the node has another session already.
func (t *term) dismiss(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byNode[s.nodeID] == s {
		delete(t.byNode, s.nodeID)
		t.leases.Disconnect(s.nodeID)
		wake(t.lowWaterDue)
	}
}

// expel ends the lease and the session of a node that is down or gone. It may
// still be connected and silent: it has to register anew. t.mu is held.
func (t *term) expel(nodeID string) {
	t.leases.Forget(nodeID)
	if s := t.byNode[nodeID]; s != nil {
		s.kick()
		delete(t.byNode, nodeID)
	}
}

func (t *term) heard(nodeID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leases.Heard(nodeID, time.Now())
}

// period returns how often nodes should send a heartbeat now.
func (t *term) period() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leases.Period()
}

func (t *term) suspect(nodeID string) {
	t.mu.Lock()
	connected := t.leases.Suspect(nodeID, time.Now())
	s := t.byNode[nodeID]
	t.mu.Unlock()
	if connected && s != nil {
		// A heartbeat that answers none asks the worker for one.
		s.post(func(o *outbox) { o.heartbeats++ })
		return
	}
	wake(t.leaseDue)
}

// wake leaves a message that there is something to do; one is enough.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// outbox is what a session has to send beside assignments.
type outbox struct {
	heartbeats int
	recorded   uint64
	logs       []*dispatchpb.LogSubscription
}
