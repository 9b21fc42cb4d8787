package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/muster/muster/internal/quota"
	"github.com/muster/muster/internal/repeat"
)

// ALPN protocols of the control port.
const (
	ProtocolGRPC = "h2"
	ProtocolRaft = "muster-raft/1"
)

const (
	// handshakeTimeout bounds a handshake, and then the wait for the
	// protocol's server to take the connection.
	handshakeTimeout = 5 * time.Second

	// maxHandshakes at once, in all and from one address: each holds a
	// connection and some memory, for a peer that proved nothing yet.
	maxHandshakes, maxHandshakesEach = 512, 64

	// maxStrangers are the connections at once of peers without a certificate,
	// in all and from one address.
	maxStrangers, maxStrangersEach = 128, 16

	// acceptRetry is the pause after the system had no file descriptor left.
	acceptRetry = 50 * time.Millisecond
)

// Listener splits one listener by protocol. Call For for each protocol, then
// Run.
type Listener struct {
	inner  net.Listener
	config *tls.Config
	log    *slog.Logger
	byALPN map[string]*protocolListener
	// strangers takes gRPC connections of peers that showed no certificate; they
	// go to byALPN when it is nil.
	strangers *protocolListener

	handshakes, anonymous *quota.Quota
	open                  *open
	// refusals are told seldom of each address: anybody can cause them.
	refusals repeat.Filter
}

// New returns a listener that serves connections of inner with the TLS
// settings given, those of mtls.Server. It owns inner from now on.
func New(inner net.Listener, config *tls.Config, log *slog.Logger) *Listener {
	return &Listener{
		inner: inner, config: config, log: log, byALPN: make(map[string]*protocolListener),
		handshakes: quota.New(maxHandshakes, maxHandshakesEach),
		anonymous:  quota.New(maxStrangers, maxStrangersEach),
		open:       newOpen(),
	}
}

// For returns the listener of one protocol. Its connections are *tls.Conn
// whose handshake is done. Call it before Run, once for each protocol.
func (l *Listener) For(protocol string) net.Listener {
	if _, ok := l.byALPN[protocol]; ok {
		panic(fmt.Sprintf("listen: protocol %q is listened for twice", protocol))
	}
	l.byALPN[protocol] = l.part()
	return l.byALPN[protocol]
}

// ForStrangers returns the listener of gRPC connections whose peers showed no
// certificate. What they ask for is small, and anybody can open them: they are
// few at a time, and their server should allow them little. Call it before Run,
// once.
func (l *Listener) ForStrangers() net.Listener {
	l.strangers = l.part()
	return l.strangers
}

func (l *Listener) part() *protocolListener {
	return &protocolListener{addr: l.inner.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Run accepts until ctx is done or the port fails, then closes the port and
// the protocols' listeners. Connections handed over are not closed.
func (l *Listener) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var handshakes sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = l.inner.Close() })
	defer func() {
		cancel()
		stop()
		_ = l.inner.Close()
		for _, p := range l.byALPN {
			_ = p.Close()
		}
		if l.strangers != nil {
			_ = l.strangers.Close()
		}
		handshakes.Wait()
	}()

	for {
		conn, err := l.inner.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept on %s: %w", l.inner.Addr(), err)
			}
			// Too many open files, or a peer that went away: both pass.
			l.log.WarnContext(ctx, "accept failed, will retry", "addr", l.inner.Addr(), "in", acceptRetry, "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(acceptRetry):
			}
			continue
		}
		release, ok := l.handshakes.Take(quota.Source(conn))
		if !ok {
			// Better to turn one away than to let stalled ones stop all.
			l.tellRefusal(ctx, slog.LevelWarn, conn, errTooMany)
			_ = conn.Close()
			continue
		}
		handshakes.Go(func() {
			defer release()
			below := &closing{Conn: conn}
			if err := l.handOver(ctx, below); err != nil {
				_ = below.Close()
				if ctx.Err() == nil {
					l.tellRefusal(ctx, slog.LevelInfo, conn, err)
				}
			}
		})
	}
}

var errTooMany = errors.New("too many handshakes at once")

func (l *Listener) tellRefusal(ctx context.Context, level slog.Level, conn net.Conn, err error) {
	if skipped, ok := l.refusals.Pass(quota.Source(conn)); ok {
		l.log.Log(ctx, level, "connection refused", "addr", conn.RemoteAddr(), "not_logged", skipped, "err", err)
	}
}

// handOver finds out who is there and for which protocol, and gives the
// connection to that protocol's server.
func (l *Listener) handOver(ctx context.Context, conn *closing) error {
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout,
		fmt.Errorf("no handshake within %s", handshakeTimeout))
	defer cancel()
	secure := tls.Server(conn, l.config)
	if err := secure.HandshakeContext(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("handshake: %w", err)
	}
	p, protocol, err := l.partOf(secure.ConnectionState(), conn)
	if err != nil {
		return err
	}
	l.open.add(conn, secure.ConnectionState())
	select {
	case p.conns <- secure:
		return nil
	case <-p.closed:
		return fmt.Errorf("protocol %q is no longer served", protocol)
	case <-ctx.Done():
		return fmt.Errorf("the server of protocol %q takes no connection", protocol)
	}
}

// partOf returns who serves a connection.
func (l *Listener) partOf(state tls.ConnectionState, conn *closing) (p *protocolListener, protocol string, err error) {
	protocol = state.NegotiatedProtocol
	if protocol == ProtocolGRPC && len(state.PeerCertificates) == 0 && l.strangers != nil {
		release, ok := l.anonymous.Take(quota.Source(conn))
		if !ok {
			return nil, protocol, errors.New("too many connections without a certificate at once")
		}
		conn.then(release)
		return l.strangers, protocol, nil
	}
	p, ok := l.byALPN[protocol]
	if !ok {
		return nil, protocol, fmt.Errorf("protocol %q is not served here", protocol)
	}
	return p, protocol, nil
}

// protocolListener hands out the connections of one protocol.
type protocolListener struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a connection whose handshake is done.
func (p *protocolListener) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close stops this protocol only; the port stays open for the others.
func (p *protocolListener) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr is the address of the port.
func (p *protocolListener) Addr() net.Addr { return p.addr }
