package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/test/bufconn"
)

const (
	// latency is how long bytes and raft's messages take.
	latency = 200 * time.Microsecond
	// buffer is how many bytes are under way before a writer waits.
	buffer = 1 << 16
)

var errReset = errors.New("connection reset by peer")

// network connects the nodes, named by their ids. Nodes always reach
// themselves.
type network struct {
	mu    sync.Mutex
	cut   map[string]bool // nodes that reach nobody else
	moved chan struct{}   // closed when cut changes
	ports map[string]*port
	rafts map[string]*raftLink
	conns map[*end]bool
}

func newNetwork() *network {
	return &network{
		cut: make(map[string]bool), moved: make(chan struct{}),
		ports: make(map[string]*port), rafts: make(map[string]*raftLink), conns: make(map[*end]bool),
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
		_ = e.Conn.Close() // the other side now learns that it was closed
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

// port is where a node's server listens.
type port struct {
	network *network
	nodeID  string
	conns   chan net.Conn
	closed  chan struct{}
	close   func()
}

func (n *network) listen(nodeID string) *port {
	closed := make(chan struct{})
	p := &port{
		network: n, nodeID: nodeID, conns: make(chan net.Conn), closed: closed,
		close: sync.OnceFunc(func() { close(closed) }),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ports[nodeID] = p
	return p
}

// Accept implements net.Listener.
func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *port) Close() error {
	p.network.mu.Lock()
	if p.network.ports[p.nodeID] == p {
		delete(p.network.ports, p.nodeID)
	}
	p.network.mu.Unlock()
	p.close()
	return nil
}

// Addr implements net.Listener.
func (p *port) Addr() net.Addr { return address(addrOf(p.nodeID)) }

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
	near, far := pair()
	client := n.end(near, from, from.node, to)
	select {
	case p.conns <- n.end(far, from, to, from.node):
		return client, nil
	case <-p.closed:
	case <-ctx.Done():
	}
	_ = client.Close()
	return nil, fmt.Errorf("dial %s: connection refused: %w", addr, errdefs.ErrUnavailable)
}

// pair returns the two ends of a new connection.
func pair() (a, b net.Conn) {
	l := bufconn.Listen(buffer)
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	a, _ = l.Dial() // neither fails: nobody closes l
	return a, <-accepted
}

// end is one end of a connection.
type end struct {
	net.Conn
	network       *network
	caller        caller
	local, remote string
	closed        chan struct{}
	close         func()
	left          bool // closed while cut off; guarded by network.mu
}

func (n *network) end(raw net.Conn, who caller, local, remote string) *end {
	closed := make(chan struct{})
	e := &end{
		Conn: raw, network: n, caller: who, local: local, remote: remote,
		closed: closed, close: sync.OnceFunc(func() { close(closed) }),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[e] = true
	return e
}

// Read implements net.Conn.
func (e *end) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	if cut := e.network.pass(e.local, e.remote, e.closed); cut != nil {
		return 0, cut
	}
	return n, err
}

// Write implements net.Conn. Like a kernel's, it takes bytes that get nowhere
// until its buffer is full.
func (e *end) Write(b []byte) (int, error) {
	time.Sleep(latency)
	return e.Conn.Write(b)
}

// Close implements net.Conn.
func (e *end) Close() error {
	e.close()
	e.network.mu.Lock()
	if e.network.apartLocked(e.local, e.remote) {
		e.left = true
		e.network.mu.Unlock()
		return e.SetDeadline(time.Now()) // frees who reads
	}
	delete(e.network.conns, e)
	e.network.mu.Unlock()
	return e.Conn.Close()
}

// LocalAddr implements net.Conn.
func (e *end) LocalAddr() net.Addr { return address(addrOf(e.local)) }

// RemoteAddr implements net.Conn.
func (e *end) RemoteAddr() net.Addr { return address(addrOf(e.remote)) }
