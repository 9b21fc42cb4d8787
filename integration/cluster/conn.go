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
	owner         *host // the life whose end it is
	local, remote peer

	in, out chan packet
	rest    []byte // of what was received; used by the reader only
	reading deadline
	writing deadline

	// closed is closed with this end. gone is closed once the other end is told;
	// over is its gone.
	closed     chan struct{}
	close      func()
	gone, over chan struct{}
	left       bool // closed while cut off; guarded by network.mu
}

var _ net.Conn = (*end)(nil)

// peer is a machine, and the address it has in a connection.
type peer struct {
	name string
	addr address
}

// packet is what one call of Write sent. Writers do not wait for it to arrive:
// they may hold a lock, and the fake clock stands still while somebody waits
// for a lock.
type packet struct {
	data []byte
	at   time.Time // of its arrival
}

// pair returns a new connection of a host to a port.
func (n *network) pair(from *host, to *listener) (client, server *end, err error) {
	up, down := make(chan packet, window), make(chan packet, window)
	a, b := peer{from.name, address(from.addr.String() + ":50000")}, peer{to.host.name, to.addr}
	client, server = newEnd(from, a, b, down, up), newEnd(to.host, b, a, up, down)
	client.over, server.over = server.gone, client.gone
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range []*host{from, to.host} {
		select {
		case <-h.dead:
			return nil, nil, errReset
		default:
		}
	}
	n.conns[client], n.conns[server] = true, true
	return client, server, nil
}

func newEnd(owner *host, local, remote peer, in, out chan packet) *end {
	closed := make(chan struct{})
	return &end{
		network: owner.network, owner: owner, local: local, remote: remote, in: in, out: out,
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
	late := e.reading.expired()
	if err := e.network.pass(e.local.name, e.remote.name, e.closed, late); err != nil {
		select {
		case <-late:
			return 0, os.ErrDeadlineExceeded
		default:
			return 0, err
		}
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// receive waits for bytes. What was sent before the other end was closed
// still arrives.
func (e *end) receive() error {
	p, err := e.next()
	if err != nil {
		return err
	}
	if wait := time.Until(p.at); wait > 0 {
		time.Sleep(wait)
	}
	e.rest = p.data
	return nil
}

func (e *end) next() (p packet, err error) {
	select {
	case p = <-e.in:
		return p, nil
	default:
	}
	select {
	case p = <-e.in:
		return p, nil
	case <-e.closed:
		return p, net.ErrClosed
	case <-e.reading.expired():
		return p, os.ErrDeadlineExceeded
	case <-e.over:
		select {
		case p = <-e.in:
			return p, nil
		default:
			return p, io.EOF
		}
	}
}

// Write implements net.Conn. Like a kernel's, it takes bytes that get nowhere
// until its window is full.
func (e *end) Write(b []byte) (int, error) {
	select {
	case <-e.closed:
		return 0, net.ErrClosed
	case <-e.over:
		return 0, errReset
	default:
	}
	select {
	case e.out <- packet{append([]byte(nil), b...), time.Now().Add(latency)}:
		return len(b), nil
	case <-e.closed:
		return 0, net.ErrClosed
	case <-e.over:
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
	case e.network.apartLocked(e.local.name, e.remote.name):
		e.left = true
	default:
		delete(e.network.conns, e)
		close(e.gone)
	}
	return nil
}

// LocalAddr implements net.Conn.
func (e *end) LocalAddr() net.Addr { return e.local.addr }

// RemoteAddr implements net.Conn.
func (e *end) RemoteAddr() net.Addr { return e.remote.addr }

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
