package listen

import (
	"net"
	"sync"

	"github.com/muster/muster/proto/call"
)

// quota bounds how many of something there are, in all and for each source: one
// that takes too many must not take those of others.
type quota struct {
	total, each int

	mu     sync.Mutex
	sum    int
	source map[string]int
}

func newQuota(total, each int) *quota {
	return &quota{total: total, each: each, source: make(map[string]int)}
}

// take takes one for a source, unless there is none left. It is given back by
// release, which may be called more than once.
func (q *quota) take(source string) (release func(), ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sum >= q.total || q.source[source] >= q.each {
		return nil, false
	}
	q.sum++
	q.source[source]++
	return sync.OnceFunc(func() { q.give(source) }), true
}

func (q *quota) give(source string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sum--
	if q.source[source]--; q.source[source] == 0 {
		delete(q.source, source)
	}
}

// sourceOf is who a connection counts for: an address without its port.
func sourceOf(conn net.Conn) string { return call.Host(conn.RemoteAddr().String()) }

// closing is a connection that tells when it is closed.
type closing struct {
	net.Conn
	mu     sync.Mutex
	onOver []func()
}

// then has f called when the connection is closed.
func (c *closing) then(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onOver = append(c.onOver, f)
}

// Close implements net.Conn.
func (c *closing) Close() error {
	c.mu.Lock()
	over := c.onOver
	c.onOver = nil
	c.mu.Unlock()
	for _, f := range over {
		f()
	}
	return c.Conn.Close()
}
