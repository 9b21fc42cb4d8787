// Package transport carries raft between managers over connections that its
// caller makes and accepts, so that it knows nothing of TLS or ports.
package transport

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// Layer is a raft.StreamLayer.
type Layer struct {
	listener  net.Listener
	advertise address
	dial      func(ctx context.Context, addr string) (net.Conn, error)
}

var _ raft.StreamLayer = (*Layer)(nil)

// New returns a layer that accepts from listener and connects by dial, which
// must have authenticated the other side as a manager when it returns.
// advertise is the HOST:PORT by which others reach the listener. The layer
// closes the listener.
func New(listener net.Listener, advertise string, dial func(ctx context.Context, addr string) (net.Conn, error)) *Layer {
	return &Layer{listener: listener, advertise: address(advertise), dial: dial}
}

// Accept implements net.Listener.
func (l *Layer) Accept() (net.Conn, error) { return l.listener.Accept() }

// Close implements net.Listener.
func (l *Layer) Close() error { return l.listener.Close() }

// Addr returns the advertised address.
func (l *Layer) Addr() net.Addr { return l.advertise }

// Dial implements raft.StreamLayer.
func (l *Layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := l.dial(ctx, string(addr))
	if err != nil {
		return nil, fmt.Errorf("connect to manager at %s: %w", addr, err)
	}
	return conn, nil
}

// address is a HOST:PORT.
type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }
