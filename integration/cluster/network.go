package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/cli/daemon/node"
	"github.com/muster/muster/ingress"
)

// latency is how long bytes are under way.
const latency = 200 * time.Microsecond

var errReset = errors.New("connection reset by peer")

// network connects machines, which are known by their names. A machine always
// reaches itself.
type network struct {
	mu    sync.Mutex
	names map[netip.Addr]string
	cut   map[string]bool // machines that reach nobody else
	moved chan struct{}   // closed when cut changes
	ports map[string]*listener
	conns map[*end]bool
	nears map[string][]ingress.Nearby // what machines reach by themselves, beside the network
}

func newNetwork() *network {
	return &network{
		names: make(map[netip.Addr]string), cut: make(map[string]bool), moved: make(chan struct{}),
		ports: make(map[string]*listener), conns: make(map[*end]bool), nears: make(map[string][]ingress.Nearby),
	}
}

// isolate cuts a machine off or connects it again.
func (n *network) isolate(name string, cut bool) {
	n.mu.Lock()
	n.cut[name] = cut
	close(n.moved)
	n.moved = make(chan struct{})
	var late []*end
	for e := range n.conns {
		if e.left && !n.apartLocked(e.local.name, e.remote.name) {
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

// pass waits until bytes flow between a and b, or one of the others happens.
func (n *network) pass(a, b string, quit, dead <-chan struct{}) error {
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
		case <-dead:
			return errReset
		}
	}
}

// host is a machine's place in the network for one life of its daemon: once
// the daemon was killed, nothing that it still tries happens.
type host struct {
	network *network
	name    string
	addr    netip.Addr
	dead    chan struct{}
}

var _ node.Network = (*host)(nil)

// host connects a machine's new life.
func (n *network) host(name string, addr netip.Addr) *host {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[addr] = name
	return &host{network: n, name: name, addr: addr, dead: make(chan struct{})}
}

// kill ends the life: its connections are closed and nobody finds its ports any
// more. Those who are cut off from it do not learn that.
func (h *host) kill() {
	n := h.network
	n.mu.Lock()
	close(h.dead)
	var conns []*end
	for e := range n.conns {
		if e.owner == h {
			conns = append(conns, e)
		}
	}
	for addr, p := range n.ports {
		if p.host == h {
			delete(n.ports, addr)
		}
	}
	n.mu.Unlock()
	for _, e := range conns {
		_ = e.Close()
	}
}

func (n *network) near(name string) []ingress.Nearby {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.nears[name])
}

// Host implements node.Network.
func (h *host) Host() (node.Host, error) {
	prefix := netip.PrefixFrom(h.addr, 24)
	return node.Host{
		Interfaces: map[string][]netip.Addr{"eth0": {h.addr}},
		Near:       append(h.network.near(h.name), ingress.Nearby{Prefix: prefix.Masked(), Device: "eth0", Own: true}),
	}, nil
}

// Listen implements node.Network.
func (h *host) Listen(addr string) (net.Listener, error) {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return h.network.listen(h, net.JoinHostPort(h.addr.String(), p))
}

// ListenLocal opens the socket that users on the machine ask.
func (h *host) ListenLocal() (net.Listener, error) { return h.network.listen(h, socketOf(h.name)) }

// socketOf is the address of a machine's own socket.
func socketOf(name string) string { return name + "/muster.sock" }

// listener is where a daemon listens.
type listener struct {
	host   *host
	addr   address
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func (n *network) listen(h *host, addr string) (*listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-h.dead:
		return nil, net.ErrClosed
	default:
	}
	if n.ports[addr] != nil {
		return nil, fmt.Errorf("listen %s: address already in use", addr)
	}
	closed := make(chan struct{})
	p := &listener{
		host: h, addr: address(addr), conns: make(chan net.Conn), closed: closed,
		close: sync.OnceFunc(func() { close(closed) }),
	}
	n.ports[addr] = p
	return p, nil
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
	n := p.host.network
	n.mu.Lock()
	if n.ports[string(p.addr)] == p {
		delete(n.ports, string(p.addr))
	}
	n.mu.Unlock()
	p.close()
	return nil
}

// Addr implements net.Listener.
func (p *listener) Addr() net.Addr { return p.addr }

type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }

// Dial implements node.Network.
func (h *host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	h.network.mu.Lock()
	name := h.network.names[to.Addr()]
	h.network.mu.Unlock()
	return h.dial(ctx, name, addr)
}

// dial connects to a port of the machine with the name.
func (h *host) dial(ctx context.Context, name, addr string) (net.Conn, error) {
	n := h.network
	if err := n.pass(h.name, name, ctx.Done(), h.dead); err != nil {
		return nil, fmt.Errorf("dial %s: no answer: %w", addr, errdefs.ErrUnavailable)
	}
	n.mu.Lock()
	p := n.ports[addr]
	n.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("dial %s: connection refused: %w", addr, errdefs.ErrUnavailable)
	}
	client, server, err := n.pair(h, p)
	if err != nil {
		return nil, err
	}
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
	case <-p.host.dead:
	case <-h.dead:
	case <-ctx.Done():
	}
	_ = client.Close()
	_ = server.Close()
	return nil, fmt.Errorf("dial %s: connection refused: %w", addr, errdefs.ErrUnavailable)
}
