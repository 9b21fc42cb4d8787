package gossip

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Liveness is what gossip believes of a node.
type Liveness int

// The states of a node.
const (
	// Alive answers.
	Alive Liveness = iota
	// Suspect did not answer this node just now, neither directly nor through others.
	Suspect
	// Dead has been suspect for a while and did not object.
	Dead
	// Left said that it leaves.
	Left
)

// String names the state.
func (l Liveness) String() string {
	switch l {
	case Alive:
		return "alive"
	case Suspect:
		return "suspect"
	case Dead:
		return "dead"
	case Left:
		return "left"
	}
	return "unknown"
}

// Member is a node as gossip sees it.
type Member struct {
	Liveness Liveness
	Since    time.Time // when it became so for this node
	Addr     string    // HOST:PORT of its gossip
	Meta     []byte
	leaving  bool // it said that it will be gone
}

// view keeps what memberlist tells. Its methods are called with memberlist's
// locks held and never call back.
type view struct {
	changed chan struct{}

	mu    sync.Mutex
	nodes map[string]Member
}

func newView() *view {
	return &view{changed: make(chan struct{}, 1), nodes: make(map[string]Member)}
}

// set changes the state of a node if it is one of from, or whatever it is if from is empty.
func (v *view) set(id string, to Liveness, from ...Liveness) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m, known := v.nodes[id]
	if len(from) > 0 && (!known || !slices.Contains(from, m.Liveness)) || known && m.Liveness == to {
		return
	}
	m.Liveness, m.Since = to, time.Now()
	v.nodes[id] = m
	v.tellLocked()
}

func (v *view) learn(n *memberlist.Node) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.nodes[n.Name]
	m.Addr = net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))
	if len(n.Meta) > 0 {
		m.leaving, m.Meta = n.Meta[0] == leaving, slices.Clone(n.Meta[1:])
	}
	if m.Since.IsZero() {
		m.Since = time.Now()
	}
	v.nodes[n.Name] = m
	v.tellLocked()
}

func (v *view) tellLocked() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// NotifyJoin is called by memberlist when a node is alive that was not.
func (v *view) NotifyJoin(n *memberlist.Node) {
	v.learn(n)
	v.set(n.Name, Alive)
}

// NotifyUpdate is called by memberlist when a node's address or metadata changed.
func (v *view) NotifyUpdate(n *memberlist.Node) { v.learn(n) }

// NotifyLeave is called by memberlist when a node is dead or has left. It does
// not tell which; the node's metadata does.
func (v *view) NotifyLeave(n *memberlist.Node) {
	v.learn(n)
	if v.members()[n.Name].leaving {
		v.set(n.Name, Left)
	} else {
		v.set(n.Name, Dead)
	}
}

// AckPayload is part of what memberlist asks of a ping delegate; we add nothing.
func (v *view) AckPayload() []byte { return nil }

// NotifyPingComplete is called by memberlist when a node answered this node.
func (v *view) NotifyPingComplete(n *memberlist.Node, _ time.Duration, _ []byte) {
	v.set(n.Name, Alive, Suspect)
}

// suspect is called when a node did not answer.
func (v *view) suspect(id string) { v.set(id, Suspect, Alive) }

func (v *view) members() map[string]Member {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.nodes)
}

// addresses returns where somebody is alive.
func (v *view) addresses() map[string]bool {
	alive := make(map[string]bool)
	for _, m := range v.members() {
		if m.Liveness == Alive {
			alive[m.Addr] = true
		}
	}
	return alive
}

// alone reports whether nobody but this node is alive.
func (v *view) alone() bool { return len(v.addresses()) <= 1 }
