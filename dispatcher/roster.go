package dispatcher

import (
	"sync"
	"time"

	"github.com/muster/muster/dispatcher/lease"
	"github.com/muster/muster/dispatcher/plan"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

// roster is the nodes as the leader sees them: who has a session, how long
// each may be silent, and what all of them hold.
type roster struct {
	statuses *statusQueue
	// lowWaterDue asks the plan loop to look at the low-water mark again,
	// leaseDue the lease loop at the leases.
	lowWaterDue, leaseDue chan struct{}

	mu     sync.Mutex
	byNode map[string]*session
	// arrived is closed, and made anew, whenever a session is admitted.
	arrived  chan struct{}
	leases   *lease.Table
	lowWater uint64
	// risen is closed, and made anew, whenever lowWater rises.
	risen chan struct{}
}

func newRoster(leases *lease.Table, statuses *statusQueue) *roster {
	return &roster{
		statuses: statuses, lowWaterDue: make(chan struct{}, 1), leaseDue: make(chan struct{}, 1),
		byNode: make(map[string]*session), arrived: make(chan struct{}), leases: leases, risen: make(chan struct{}),
	}
}

// session returns the node's session, nil if it has none, and what is closed
// when a session is admitted.
func (r *roster) session(nodeID string) (*session, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byNode[nodeID], r.arrived
}

// admit makes s the node's session and ends the one it had. The node has the
// status since it registered.
func (r *roster) admit(s *session, status *clusterpb.NodeStatus) {
	r.mu.Lock()
	old := r.byNode[s.nodeID]
	r.byNode[s.nodeID] = s
	close(r.arrived)
	r.arrived = make(chan struct{})
	if r.leases.Connect(s.nodeID, status.GetSince().AsTime()) {
		// Its good-bye may still be on its way to the state, which said at
		// registration that the node is connected: the state has to say so again.
		r.statuses.putNode(&raftpb.ObserveNode{Id: s.nodeID, Status: status})
	}
	r.mu.Unlock()
	if old != nil {
		old.kick()
	}
	wake(r.leaseDue)
}

// dismiss notes that s ended, unless the node has another session already.
func (r *roster) dismiss(s *session) {
	r.statuses.leave(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byNode[s.nodeID] == s {
		delete(r.byNode, s.nodeID)
		r.leases.Disconnect(s.nodeID)
		wake(r.lowWaterDue)
	}
}

// expel ends the lease and the session of a node that is down or gone. It may
// still be connected and silent: it has to register anew. r.mu is held.
func (r *roster) expel(nodeID string) {
	r.leases.Forget(nodeID)
	if s := r.byNode[nodeID]; s != nil {
		s.kick()
		delete(r.byNode, nodeID)
	}
}

func (r *roster) heard(nodeID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leases.Heard(nodeID, time.Now())
}

// period returns how often nodes should send a heartbeat now.
func (r *roster) period() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leases.Period()
}

func (r *roster) suspect(nodeID string) {
	r.mu.Lock()
	connected := r.leases.Suspect(nodeID, time.Now())
	s := r.byNode[nodeID]
	r.mu.Unlock()
	if connected && s != nil {
		// A heartbeat that answers none asks the worker for one.
		s.post(func(o *outbox) { o.heartbeats++ })
		return
	}
	wake(r.leaseDue)
}

// goodbye notes a planned stop, unless the node is back already. Of a machine
// that shuts down nothing is left to wait for.
func (r *roster) goodbye(s *session) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byNode[s.nodeID] != s {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		r.leases.Forget(s.nodeID)
		s.goodbye = r.statuses.putNode(shutDown(s.nodeID, now))
		return
	}
	r.leases.Goodbye(s.nodeID, now)
	s.goodbye = r.statuses.putNode(disconnected(s.nodeID, now))
}

func (r *roster) acknowledge(s *session, index uint64) {
	s.mu.Lock()
	s.acked = max(s.acked, index)
	s.mu.Unlock()
	r.mu.Lock()
	r.leases.Acknowledge(s.nodeID, index)
	r.mu.Unlock()
	wake(r.lowWaterDue)
}

// forgive gives the nodes back what the leader itself missed: after a stop of
// the whole process, no heartbeat that arrived meanwhile has been counted.
func (r *roster) forgive(late time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if late > r.leases.Period() {
		r.leases.Extend(late)
	}
}

// spread wakes the sessions that a new plan concerns.
func (r *roster) spread(s plan.Step, period time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leases.SetPeriod(period)
	for id, sess := range r.byNode {
		_, own := s.Nodes[id]
		if !own && !s.All {
			continue
		}
		sess.mu.Lock()
		sess.due.tasks = sess.due.tasks || own
		sess.due.shared = sess.due.shared || s.All
		sess.mu.Unlock()
		wake(sess.wake)
	}
	for _, id := range s.Lost {
		r.expel(id)
	}
}

// expired returns the nodes whose lease has ended, how long each was silent,
// and when to look again. Leases only move later but for what wakes the lease
// loop, so looking again no later than in a lease is enough.
func (r *roster) expired(now time.Time) (ids []string, silence time.Duration, next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids, next = r.leases.Expired(now)
	silence = r.leases.Silence()
	if latest := now.Add(silence); next.IsZero() || next.After(latest) {
		next = latest
	}
	return ids, silence, next
}

// lose ends the leases and sessions of nodes that were declared down.
func (r *roster) lose(ids []string) {
	r.mu.Lock()
	for _, id := range ids {
		r.expel(id)
	}
	r.mu.Unlock()
	wake(r.lowWaterDue)
}
