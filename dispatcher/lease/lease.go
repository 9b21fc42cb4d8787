package lease

import (
	"iter"
	"slices"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/spec"
)

const (
	// GoodbyeGrace is how long a node that announced a restart of its daemon
	// keeps its tasks.
	GoodbyeGrace = 30 * time.Second
	// termLeases is how many leases a new leader grants to nodes it has not
	// heard from: they first have to notice that the old one is gone.
	termLeases = 2
	// suspicion is what is left to a node whose stream broke once gossip
	// suspects it too.
	suspicion = time.Second
)

// lease is how long a node may stay silent.
type lease struct {
	until time.Time
	// left is when the node said good-bye; zero when it did not.
	left time.Time
	// connected: the node has a session.
	connected bool
	// acked is the highest index the node's kernel is known to hold.
	acked uint64
}

// Table holds one lease for each node that is not down.
type Table struct {
	period time.Duration
	nodes  map[string]*lease
}

// New returns the leases that a new leader grants the nodes, which send a
// heartbeat each period.
func New(nodes iter.Seq[*clusterpb.Node], period time.Duration, now time.Time) *Table {
	l := &Table{period: period, nodes: make(map[string]*lease)}
	grace := now.Add(termLeases * l.Silence())
	for n := range nodes {
		switch s := n.GetStatus().GetState(); {
		case lifecycle.Connected(n) || s == clusterpb.NodeStatus_STATE_UNKNOWN:
			l.nodes[n.GetId()] = &lease{until: grace}
		case s == clusterpb.NodeStatus_STATE_DISCONNECTED:
			// The last leader's clock may have been ahead: it left before now.
			away := max(0, now.Sub(n.GetStatus().GetSince().AsTime()))
			left := now.Add(-away)
			until := left.Add(GoodbyeGrace)
			if until.Before(grace) {
				until = grace
			}
			l.nodes[n.GetId()] = &lease{until: until, left: left}
		default: // down already, or joined and never connected: no lease to lose
		}
	}
	return l
}

// Period is how often nodes should send a heartbeat now.
func (l *Table) Period() time.Duration { return l.period }

// SetPeriod changes how often nodes should send a heartbeat. Leases that run
// end when they would have.
func (l *Table) SetPeriod(period time.Duration) { l.period = period }

// Silence is how long a node may say nothing before it is lost.
func (l *Table) Silence() time.Duration { return spec.HeartbeatLease * l.period }

// Connect starts or renews the lease of a node that opened a session. It says
// whether the node is back from a stop that it had announced.
func (l *Table) Connect(id string, now time.Time) (back bool) {
	if l.nodes[id] == nil {
		l.nodes[id] = &lease{}
	}
	n := l.nodes[id]
	back = !n.left.IsZero()
	n.connected, n.left = true, time.Time{}
	l.Heard(id, now)
	return back
}

// Heard renews the lease of a connected node.
func (l *Table) Heard(id string, now time.Time) {
	if n := l.nodes[id]; n != nil && n.connected {
		n.until = now.Add(l.Silence())
	}
}

// Disconnect notes that the session ended. That alone takes no lease away.
func (l *Table) Disconnect(id string) {
	if n := l.nodes[id]; n != nil {
		n.connected = false
	}
}

// Goodbye grants a node the time for a restart of its daemon.
func (l *Table) Goodbye(id string, now time.Time) {
	if n := l.nodes[id]; n != nil {
		n.left, n.until = now, now.Add(GoodbyeGrace)
	}
}

// Suspect shortens what is left to a node that has no session and did not
// announce that. It says whether the node is connected: then it is for the
// session to find out.
func (l *Table) Suspect(id string, now time.Time) (connected bool) {
	n := l.nodes[id]
	if n == nil || n.connected || !n.left.IsZero() {
		return n != nil && n.connected
	}
	if soon := now.Add(suspicion); soon.Before(n.until) {
		n.until = soon
	}
	return false
}

// Acknowledge notes what the node's kernel holds.
func (l *Table) Acknowledge(id string, index uint64) {
	if n := l.nodes[id]; n != nil {
		n.acked = max(n.acked, index)
	}
}

// Expired returns the nodes whose lease has ended, in order of ids, and when
// to look again; zero when no lease runs.
func (l *Table) Expired(now time.Time) (ids []string, next time.Time) {
	for id, n := range l.nodes {
		if !n.until.After(now) {
			ids = append(ids, id)
		} else if next.IsZero() || n.until.Before(next) {
			next = n.until
		}
	}
	slices.Sort(ids)
	return ids, next
}

// Forget ends the lease of a node that was declared down or is gone.
func (l *Table) Forget(id string) { delete(l.nodes, id) }

// Extend gives every node back the time during which the leader itself stood
// still: it cannot have heard anyone.
func (l *Table) Extend(by time.Duration) {
	for _, n := range l.nodes {
		n.until = n.until.Add(by)
	}
}
