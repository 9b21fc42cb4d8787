package dispatcher

import (
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

const (
	// defaultPeriod is how often nodes send a heartbeat when the cluster's
	// spec says nothing.
	defaultPeriod = time.Second
	// leasePeriods is how many periods without a heartbeat make a node down.
	leasePeriods = 3
	// termLeases is how many leases a new leader grants to nodes it has not
	// heard from: they first have to notice that the old one is gone.
	termLeases = 2
	// goodbyeGrace is how long a node that announced a restart of its daemon
	// keeps its tasks.
	goodbyeGrace = 30 * time.Second
	// goodbyeHolds is how long such a node still counts for the low-water mark: its
	// kernel goes on forwarding what it forwarded before.
	goodbyeHolds = 10 * time.Second
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

// leases holds one lease for each node that is not down. Its methods take
// the time and touch nothing else.
type leases struct {
	period time.Duration
	nodes  map[string]*lease
}

// newLeases returns the leases a new leader grants.
func newLeases(v view, period time.Duration, now time.Time) *leases {
	l := &leases{period: period, nodes: make(map[string]*lease)}
	for n := range v.Nodes() {
		grace := now.Add(termLeases * leasePeriods * period)
		switch n.GetStatus().GetState() {
		case clusterpb.NodeStatus_STATE_READY, clusterpb.NodeStatus_STATE_UNKNOWN:
			l.nodes[n.GetId()] = &lease{until: grace}
		case clusterpb.NodeStatus_STATE_DISCONNECTED:
			left := n.GetStatus().GetSince().AsTime()
			until := left.Add(goodbyeGrace)
			if until.Before(grace) {
				until = grace
			}
			l.nodes[n.GetId()] = &lease{until: until, left: left}
		case clusterpb.NodeStatus_STATE_DOWN, clusterpb.NodeStatus_STATE_UNSPECIFIED:
			// Down already, or joined and never connected: no lease to lose.
		}
	}
	return l
}

// connect starts or renews the lease of a node that opened a session. It says
// whether the node is back from a stop that it had announced.
func (l *leases) connect(id string, now time.Time) (back bool) {
	if l.nodes[id] == nil {
		l.nodes[id] = &lease{}
	}
	n := l.nodes[id]
	back = !n.left.IsZero()
	n.connected, n.left = true, time.Time{}
	l.heard(id, now)
	return back
}

// heard renews the lease of a connected node.
func (l *leases) heard(id string, now time.Time) {
	if n := l.nodes[id]; n != nil && n.connected {
		n.until = now.Add(leasePeriods * l.period)
	}
}

// disconnect notes that the session ended. That alone takes no lease away.
func (l *leases) disconnect(id string) {
	if n := l.nodes[id]; n != nil {
		n.connected = false
	}
}

// goodbye grants a node the time for a restart of its daemon.
func (l *leases) goodbye(id string, now time.Time) {
	if n := l.nodes[id]; n != nil {
		n.left, n.until = now, now.Add(goodbyeGrace)
	}
}

// suspect shortens what is left to a node that has no session and did not
// announce that. It says whether the node is connected: then it is for the
// session to find out.
func (l *leases) suspect(id string, now time.Time) (connected bool) {
	n := l.nodes[id]
	if n == nil || n.connected || !n.left.IsZero() {
		return n != nil && n.connected
	}
	if soon := now.Add(suspicion); soon.Before(n.until) {
		n.until = soon
	}
	return false
}

// acknowledge notes what the node's kernel holds.
func (l *leases) acknowledge(id string, index uint64) {
	if n := l.nodes[id]; n != nil {
		n.acked = max(n.acked, index)
	}
}

// expired returns the nodes whose lease has ended, and when to look again;
// zero when no lease runs.
func (l *leases) expired(now time.Time) (ids []string, next time.Time) {
	for id, n := range l.nodes {
		if !n.until.After(now) {
			ids = append(ids, id)
		} else if next.IsZero() || n.until.Before(next) {
			next = n.until
		}
	}
	return ids, next
}

// forget ends the lease of a node that was declared down or is gone.
func (l *leases) forget(id string) { delete(l.nodes, id) }

// extend gives every node back the time during which the leader itself stood
// still: it cannot have heard anyone.
func (l *leases) extend(by time.Duration) {
	for _, n := range l.nodes {
		n.until = n.until.Add(by)
	}
}

// lowWaterMark returns the lowest index that the kernels of all live nodes hold.
// held tells, of a connected node, the index it is known to be at. A node
// without a session counts for as long as its lease, since its kernel goes on
// forwarding: what a killed node still does not hold, its lease's end
// settles.
func (l *leases) lowWaterMark(index uint64, now time.Time, held func(id string) (uint64, bool)) uint64 {
	lowWater := index
	for id, n := range l.nodes {
		at, ok := held(id)
		switch {
		case ok:
		case !n.left.IsZero() && now.Sub(n.left) > goodbyeHolds:
			continue
		default:
			at = n.acked
		}
		lowWater = min(lowWater, at)
	}
	return lowWater
}

// periodOf returns the heartbeat period of the cluster.
func periodOf(v view) time.Duration {
	if d := v.Cluster().GetSpec().GetHeartbeatPeriod().AsDuration(); d > 0 {
		return d
	}
	return defaultPeriod
}
