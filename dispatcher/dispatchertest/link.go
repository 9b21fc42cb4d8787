package dispatchertest

import (
	"errors"
	"net"
	"sync"
)

// link is the path between one node and one manager.
type link struct {
	mu    sync.Mutex
	open  chan struct{} // closed while bytes flow
	conns map[*conn]struct{}
}

func newLink() *link {
	open := make(chan struct{})
	close(open)
	return &link{open: open, conns: make(map[*conn]struct{})}
}

func (l *link) stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		l.open = make(chan struct{})
	default: // stalled already
	}
}

func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}

func (l *link) breakAll() {
	l.mu.Lock()
	conns := l.conns
	l.conns = make(map[*conn]struct{})
	l.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
}

var errClosed = errors.New("use of closed network connection")

// pass waits until bytes flow or quit is closed.
func (l *link) pass(quit <-chan struct{}) error {
	for {
		l.mu.Lock()
		open := l.open
		l.mu.Unlock()
		select {
		case <-open:
			return nil
		case <-quit:
			return errClosed
		}
	}
}

func (l *link) wrap(raw net.Conn) net.Conn {
	c := &conn{Conn: raw, link: l, closed: make(chan struct{})}
	c.close = sync.OnceFunc(func() { close(c.closed) })
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c
}

// conn is a node's end of a connection.
type conn struct {
	net.Conn
	link   *link
	closed chan struct{}
	close  func()
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if perr := c.link.pass(c.closed); perr != nil {
		return 0, perr
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.link.pass(c.closed); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.close()
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}
