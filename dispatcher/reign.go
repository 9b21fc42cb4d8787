package dispatcher

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// reign is what a dispatcher keeps while its manager leads. It is made anew
// with every leadership: what must outlast one is in the replicated state.
type reign struct {
	cfg  Config
	log  *slog.Logger
	done <-chan struct{} // closed when leadership ends
	stop context.CancelFunc

	// sessions counts the goroutines of sessions.
	sessions sync.WaitGroup

	plan     atomic.Pointer[plan]
	planned  chan struct{} // closed once there is a plan
	statuses *statusQueue

	// floorDue asks the plan loop to look at the floor again.
	floorDue chan struct{}
	// leaseDue asks the lease loop to look at the leases again.
	leaseDue chan struct{}

	mu     sync.Mutex
	closed bool
	byNode map[string]*session
	leases *leases
	floor  uint64
}

func newReign(ctx context.Context, cfg Config) *reign {
	ctx, stop := context.WithCancel(ctx)
	v := cfg.Store.State()
	return &reign{
		cfg: cfg, log: cfg.Log, done: ctx.Done(), stop: stop,
		planned:  make(chan struct{}),
		statuses: newStatusQueue(),
		floorDue: make(chan struct{}, 1),
		leaseDue: make(chan struct{}, 1),
		byNode:   make(map[string]*session),
		leases:   newLeases(v, periodOf(v), time.Now()),
	}
}

// enter counts a session in, unless the reign is over.
func (r *reign) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.sessions.Add(1)
	return true
}

func (r *reign) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
}

func (r *reign) session(nodeID string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byNode[nodeID]
}

// admit makes s the node's session and ends the one it had.
func (r *reign) admit(s *session, addr string) {
	now := time.Now()
	r.mu.Lock()
	old := r.byNode[s.nodeID]
	r.byNode[s.nodeID] = s
	if r.leases.connect(s.nodeID, now) {
		// Its good-bye may still be on its way to the state, behind which it
		// was found ready.
		r.statuses.putNode(ready(s.nodeID, addr, now))
	}
	r.mu.Unlock()
	if old != nil {
		old.kick()
	}
	wake(r.leaseDue)
}

// dismiss notes that s ended, unless the node has another session already.
func (r *reign) dismiss(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byNode[s.nodeID] == s {
		delete(r.byNode, s.nodeID)
		r.leases.disconnect(s.nodeID)
		wake(r.floorDue)
	}
}

func (r *reign) heard(nodeID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leases.heard(nodeID, time.Now())
}

// period returns how often nodes should send a heartbeat now.
func (r *reign) period() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leases.period
}

func (r *reign) suspect(nodeID string) {
	r.mu.Lock()
	connected := r.leases.suspect(nodeID, time.Now())
	s := r.byNode[nodeID]
	r.mu.Unlock()
	if connected && s != nil {
		// A heartbeat that answers none asks the worker for one.
		s.post(func(o *outbox) { o.heartbeats++ })
		return
	}
	wake(r.leaseDue)
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
