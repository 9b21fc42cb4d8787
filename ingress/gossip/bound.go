package gossip

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/muster/muster/internal/quota"
)

const (
	// maxStreams are the connections at once that others opened, in all and from
	// one address. Each is over after one message, and after ten seconds.
	maxStreams, maxStreamsEach = 64, 8

	// maxMessage is what a connection may bring, in bytes, beside what each node
	// of the cluster takes in it. The whole is read before it can be decrypted:
	// memberlist takes 20 MiB of anybody.
	maxMessage, maxMessageEach = 128 << 10, 512
)

// bounded is a transport on which strangers cannot take much memory: they open
// few connections, and say little on each.
type bounded struct {
	memberlist.Transport

	// nodes is how many nodes there are, as far as this one knows.
	nodes   func() int
	open    *quota.Quota
	streams chan net.Conn

	over  chan struct{} // closed once nobody takes connections any more
	ended chan struct{} // closed once none comes any more
	pump  sync.WaitGroup
	shut  func() error
}

func bound(inner memberlist.Transport, nodes func() int) *bounded {
	b := &bounded{
		Transport: inner, nodes: nodes, open: quota.New(maxStreams, maxStreamsEach), streams: make(chan net.Conn),
		over: make(chan struct{}), ended: make(chan struct{}),
	}
	b.shut = sync.OnceValue(b.shutdown)
	b.pump.Go(b.accept)
	return b
}

// StreamCh implements memberlist.Transport.
func (b *bounded) StreamCh() <-chan net.Conn { return b.streams }

// DialTimeout implements memberlist.Transport. What answers is not yet known for
// a node either.
func (b *bounded) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	conn, err := b.Transport.DialTimeout(addr, timeout)
	if err != nil {
		return nil, err //nolint:wrapcheck // memberlist tells its kinds apart
	}
	return b.limit(conn, func() {}), nil
}

// Shutdown implements memberlist.Transport. It may be called again.
func (b *bounded) Shutdown() error { return b.shut() }

// shutdown goes on taking what the inner transport waits to hand over, which
// would not end before.
func (b *bounded) shutdown() error {
	close(b.over)
	var packets sync.WaitGroup
	packets.Go(func() {
		for {
			select {
			case <-b.PacketCh():
			case <-b.ended:
				return
			}
		}
	})
	err := b.Transport.Shutdown()
	close(b.ended)
	packets.Wait()
	b.pump.Wait()
	return err //nolint:wrapcheck // its caller says what is shut down
}

func (b *bounded) accept() {
	for {
		select {
		case conn := <-b.Transport.StreamCh():
			b.hand(conn)
		case <-b.ended:
			return
		}
	}
}

// hand gives a connection to memberlist, unless there are too many.
func (b *bounded) hand(conn net.Conn) {
	release, ok := b.open.Take(quota.Source(conn))
	if !ok {
		_ = conn.Close()
		return
	}
	limited := b.limit(conn, release)
	select {
	case b.streams <- limited:
	case <-b.over:
		_ = limited.Close()
	}
}

func (b *bounded) limit(conn net.Conn, release func()) *limited {
	return &limited{Conn: conn, most: maxMessage + maxMessageEach*b.nodes(), release: release}
}

// limited is a connection that brings so many bytes and no more.
type limited struct {
	net.Conn

	most, read int
	release    func() // called when it is closed
}

// Read implements net.Conn.
func (l *limited) Read(p []byte) (int, error) {
	left := l.most - l.read
	if left <= 0 {
		return 0, fmt.Errorf("a message of more than %d bytes", l.most)
	}
	n, err := l.Conn.Read(p[:min(len(p), left)])
	l.read += n
	return n, err //nolint:wrapcheck // io.EOF among them
}

// Close implements net.Conn.
func (l *limited) Close() error {
	l.release()
	return l.Conn.Close() //nolint:wrapcheck // adds nothing
}
