package cluster

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// window is how many writes are under way before a writer waits.
const window = 1024

// end is one end of a connection. It is made of channels only, which is what a
// fake clock waits for.
type end struct {
	network       *network
	caller        caller
	local, remote string

	in, out chan []byte
	rest    []byte // of what was received; used by the reader only
	reading deadline
	writing deadline

	// closed is closed with this end. gone is closed once the other end is told;
	// peer is its gone.
	closed     chan struct{}
	close      func()
	gone, peer chan struct{}
	left       bool // closed while cut off; guarded by network.mu
}

var _ net.Conn = (*end)(nil)

// pair returns a new connection of a caller to a node.
func (n *network) pair(from caller, to string) (client, server *end) {
	up, down := make(chan []byte, window), make(chan []byte, window)
	client, server = newEnd(n, from, down, up), newEnd(n, from, up, down)
	client.local, client.remote, client.peer = from.node, to, server.gone
	server.local, server.remote, server.peer = to, from.node, client.gone
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[client], n.conns[server] = true, true
	return client, server
}

func newEnd(n *network, who caller, in, out chan []byte) *end {
	closed := make(chan struct{})
	return &end{
		network: n, caller: who, in: in, out: out,
		closed: closed, close: sync.OnceFunc(func() { close(closed) }), gone: make(chan struct{}),
	}
}

// Read implements net.Conn.
func (e *end) Read(b []byte) (int, error) {
	if len(e.rest) == 0 {
		if err := e.receive(); err != nil {
			return 0, err
		}
	}
	if err := e.network.pass(e.local, e.remote, e.closed); err != nil {
		return 0, err
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// receive waits for bytes. What was sent before the other end was closed
// still arrives.
func (e *end) receive() error {
	select {
	case e.rest = <-e.in:
		return nil
	default:
	}
	select {
	case e.rest = <-e.in:
		return nil
	case <-e.closed:
		return net.ErrClosed
	case <-e.reading.expired():
		return os.ErrDeadlineExceeded
	case <-e.peer:
		select {
		case e.rest = <-e.in:
			return nil
		default:
			return io.EOF
		}
	}
}

// Write implements net.Conn. Like a kernel's, it takes bytes that get nowhere
// until its window is full.
func (e *end) Write(b []byte) (int, error) {
	time.Sleep(latency)
	select {
	case <-e.closed:
		return 0, net.ErrClosed
	case <-e.peer:
		return 0, errReset
	default:
	}
	select {
	case e.out <- append([]byte(nil), b...):
		return len(b), nil
	case <-e.closed:
		return 0, net.ErrClosed
	case <-e.peer:
		return 0, errReset
	case <-e.writing.expired():
		return 0, os.ErrDeadlineExceeded
	}
}

// Close implements net.Conn. Who is cut off does not learn of it yet.
func (e *end) Close() error {
	e.close()
	e.network.mu.Lock()
	defer e.network.mu.Unlock()
	switch {
	case !e.network.conns[e]: // closed before
	case e.network.apartLocked(e.local, e.remote):
		e.left = true
	default:
		delete(e.network.conns, e)
		close(e.gone)
	}
	return nil
}

// LocalAddr implements net.Conn.
func (e *end) LocalAddr() net.Addr { return address(addrOf(e.local)) }

// RemoteAddr implements net.Conn.
func (e *end) RemoteAddr() net.Addr { return address(addrOf(e.remote)) }

// SetDeadline implements net.Conn.
func (e *end) SetDeadline(t time.Time) error {
	e.reading.set(t)
	e.writing.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (e *end) SetReadDeadline(t time.Time) error {
	e.reading.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (e *end) SetWriteDeadline(t time.Time) error {
	e.writing.set(t)
	return nil
}

// deadline is a time until which something may wait, as in net.Pipe.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	over  chan struct{} // closed at the deadline
}

func (d *deadline) expired() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.renewLocked()
	return d.over
}

// renewLocked makes the channel if there is none.
func (d *deadline) renewLocked() {
	if d.over == nil {
		d.over = make(chan struct{})
	}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.renewLocked()
	if d.timer != nil && !d.timer.Stop() {
		<-d.over
	}
	d.timer = nil
	past := false
	select {
	case <-d.over:
		past = true
	default:
	}
	left := time.Until(t)
	switch {
	case !t.IsZero() && left <= 0:
		if !past {
			close(d.over)
		}
		return
	case past:
		d.over = make(chan struct{})
	}
	if !t.IsZero() {
		over := d.over
		d.timer = time.AfterFunc(left, func() { close(over) })
	}
}
