// Package quota bounds how many of something there are, in all and for each
// source: one that takes too many must not take those of others.
package quota

import (
	"net"
	"sync"
)

// Quota bounds how many there are. It is safe for use by several goroutines.
type Quota struct {
	total, each int

	mu     sync.Mutex
	sum    int
	source map[string]int
}

// New returns a quota of so many in all, and for each source.
func New(total, each int) *Quota {
	return &Quota{total: total, each: each, source: make(map[string]int)}
}

// Take takes one for a source, unless there is none left. It is given back by
// release, which may be called more than once.
func (q *Quota) Take(source string) (release func(), ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sum >= q.total || q.source[source] >= q.each {
		return nil, false
	}
	q.sum++
	q.source[source]++
	return sync.OnceFunc(func() { q.give(source) }), true
}

func (q *Quota) give(source string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sum--
	if q.source[source]--; q.source[source] == 0 {
		delete(q.source, source)
	}
}

// Source is who a connection counts for: an address without its port.
func Source(conn net.Conn) string {
	addr := conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
