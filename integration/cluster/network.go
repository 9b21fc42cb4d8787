package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// latency is how long bytes and raft's messages take.
const latency = 200 * time.Microsecond

var errReset = errors.New("connection reset by peer")

// network connects the nodes, named by their ids. Nodes always reach
// themselves.
type network struct {
	mu    sync.Mutex
	cut   map[string]bool // nodes that reach nobody else
	moved chan struct{}   // closed when cut changes
	ports map[string]*listener
	rafts map[string]*raftLink
	conns map[*end]bool
}

func newNetwork() *network {
	return &network{
		cut: make(map[string]bool), moved: make(chan struct{}),
		ports: make(map[string]*listener), rafts: make(map[string]*raftLink), conns: make(map[*end]bool),
	}
}

// addrOf is a node's control address, and nodeOf its inverse.
func addrOf(nodeID string) string { return nodeID + ":2377" }

func nodeOf(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	return host
}

// isolate cuts a node off or connects it again.
func (n *network) isolate(nodeID string, cut bool) {
	n.mu.Lock()
	n.cut[nodeID] = cut
	close(n.moved)
	n.moved = make(chan struct{})
	var late []*end
	for e := range n.conns {
		if e.left && !n.apartLocked(e.local, e.remote) {
			late = append(late, e)
			delete(n.conns, e)
		}
	}
	n.mu.Unlock()
	for _, e := range late {
		close(e.gone) // the other side now learns that it was closed
	}
}

func (n *network) apartLocked(a, b string) bool { return a != b && (n.cut[a] || n.cut[b]) }

// pass waits until bytes flow between a and b, or quit is closed.
func (n *network) pass(a, b string, quit <-chan struct{}) error {
	for {
		n.mu.Lock()
		apart, moved := n.apartLocked(a, b), n.moved
		n.mu.Unlock()
		if !apart {
			return nil
		}
		select {
		case <-moved:
		case <-quit:
			return errReset
		}
	}
}

// kill ends all connections of a node's process. Those who are cut off from it
// do not learn that.
func (n *network) kill(nodeID string) {
	n.mu.Lock()
	var mine []*end
	for e := range n.conns {
		if e.local == nodeID {
			mine = append(mine, e)
		}
	}
	n.mu.Unlock()
	for _, e := range mine {
		_ = e.Close()
	}
}

// listener is where a node's server listens.
type listener struct {
	network *network
	nodeID  string
	conns   chan net.Conn
	closed  chan struct{}
	close   func()
}

func (n *network) listen(nodeID string) *listener {
	closed := make(chan struct{})
	p := &listener{
		network: n, nodeID: nodeID, conns: make(chan net.Conn), closed: closed,
		close: sync.OnceFunc(func() { close(closed) }),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ports[nodeID] = p
	return p
}

// Accept implements net.Listener.
func (p *listener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *listener) Close() error {
	p.network.mu.Lock()
	if p.network.ports[p.nodeID] == p {
		delete(p.network.ports, p.nodeID)
	}
	p.network.mu.Unlock()
	p.close()
	return nil
}

// Addr implements net.Listener.
func (p *listener) Addr() net.Addr { return address(addrOf(p.nodeID)) }

type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }

// dial connects a caller to the node at addr.
func (n *network) dial(ctx context.Context, from caller, addr string) (net.Conn, error) {
	to := nodeOf(addr)
	if err := n.pass(from.node, to, ctx.Done()); err != nil {
		return nil, fmt.Errorf("dial %s: no answer: %w", addr, errdefs.ErrUnavailable)
	}
	n.mu.Lock()
	p := n.ports[to]
	n.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("dial %s: connection refused: %w", addr, errdefs.ErrUnavailable)
	}
	client, server := n.pair(from, to)
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
	case <-ctx.Done():
	}
	_ = client.Close()
	return nil, fmt.Errorf("dial %s: connection refused: %w", addr, errdefs.ErrUnavailable)
}
