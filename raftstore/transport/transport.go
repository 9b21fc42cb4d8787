// Package transport carries raft between managers over connections that its
// caller makes and accepts, so that it knows nothing of TLS or ports.
package transport

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Layer is a raft.StreamLayer.
type Layer struct {
	listener  net.Listener
	advertise address
	dial      func(ctx context.Context, id, addr string) (net.Conn, error)

	mu     sync.Mutex
	closed bool
	conns  map[*conn]struct{}
}

var _ raft.StreamLayer = (*Layer)(nil)

// New returns a layer that accepts from listener and connects by dial, which
// must have authenticated the other side as the manager of that id when it
// returns.
// advertise is the HOST:PORT by which others reach the listener. The layer
// closes the listener.
func New(listener net.Listener, advertise string, dial func(ctx context.Context, id, addr string) (net.Conn, error)) *Layer {
	return &Layer{listener: listener, advertise: address(advertise), dial: dial, conns: make(map[*conn]struct{})}
}

// Accept implements net.Listener.
func (l *Layer) Accept() (net.Conn, error) {
	c, err := l.listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.track(c)
}

// Addr returns the advertised address.
func (l *Layer) Addr() net.Addr { return l.advertise }

// Named is the address at which the member of that id is to be found: raft
// hands a StreamLayer addresses alone.
func Named(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(string(id) + "@" + string(addr))
}

// Dial implements raft.StreamLayer, for addresses that Named made.
func (l *Layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	if l.isClosed() {
		return nil, net.ErrClosed
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	id, at, ok := strings.Cut(string(addr), "@")
	if !ok {
		return nil, fmt.Errorf("connect to manager at %s: nobody said which one it is", addr)
	}
	c, err := l.dial(ctx, id, at)
	if err != nil {
		return nil, fmt.Errorf("connect to manager %s at %s: %w", id, at, err)
	}
	return l.track(c)
}

// Close closes the listener and every connection. Raft leaves those it has
// open when it stops, and a node that is no manager any more lives on.
func (l *Layer) Close() error {
	l.mu.Lock()
	l.closed = true
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	err := l.listener.Close()
	for _, c := range conns {
		_ = c.Close() // it may be closed by its user already
	}
	return err
}

func (l *Layer) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// track keeps the connection to be closed, which happens at once when the
// layer was closed while the connection was made.
func (l *Layer) track(nc net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = nc.Close()
		return nil, net.ErrClosed
	}
	c := &conn{Conn: nc, layer: l}
	l.conns[c] = struct{}{}
	return c, nil
}

// conn is a connection that its layer closes.
type conn struct {
	net.Conn
	layer *Layer
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.conns, c)
	c.layer.mu.Unlock()
	return c.Conn.Close()
}

// address is a HOST:PORT.
type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }
