package listen

import (
	"net"
	"sync"
)

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
