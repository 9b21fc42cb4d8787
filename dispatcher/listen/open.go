package listen

import (
	"context"
	"crypto/tls"
	"sync"
	"time"
)

// watchPeriod is how often open connections are looked at. What a node is told
// at its end, such as that it may go, has as long to be read.
const watchPeriod = time.Second

// open are the connections that were handed over and are not closed.
type open struct {
	mu    sync.Mutex
	conns map[*closing]*opened
}

// opened is an open connection.
type opened struct {
	state tls.ConnectionState
	// refused: the last look found that it may not stay open.
	refused bool
}

func newOpen() *open { return &open{conns: make(map[*closing]*opened)} }

func (o *open) add(conn *closing, state tls.ConnectionState) {
	if len(state.PeerCertificates) == 0 {
		return // nobody in particular: short-lived, see quota
	}
	o.mu.Lock()
	o.conns[conn] = &opened{state: state}
	o.mu.Unlock()
	conn.then(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.conns, conn)
	})
}

// Watch closes the connections of nodes which stands refuses, in two periods at
// most, until ctx is done: whatever goes on over them ends with the right to
// open them. stands is given the state of the handshake.
func (l *Listener) Watch(ctx context.Context, stands func(tls.ConnectionState) error) error {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for conn, err := range l.open.expelled(stands) {
			l.log.InfoContext(ctx, "connection ended", "addr", conn.RemoteAddr(), "err", err)
			_ = conn.Close()
		}
	}
}

// expelled returns the connections that two looks in a row have refused, and why.
func (o *open) expelled(stands func(tls.ConnectionState) error) map[*closing]error {
	o.mu.Lock()
	defer o.mu.Unlock()
	ended := make(map[*closing]error)
	for conn, c := range o.conns {
		err := stands(c.state)
		if err != nil && c.refused {
			ended[conn] = err
		}
		c.refused = err != nil
	}
	return ended
}
