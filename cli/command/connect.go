package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/proto/call"
)

// dialTimeout bounds how long a command waits to reach its daemon, unless the
// environment says otherwise.
const dialTimeout = 5 * time.Second

// link is the one connection a command makes, on first use.
type link struct {
	env *Env

	once sync.Once
	to   endpoint
	conn *grpc.ClientConn
	err  error
}

// dial returns the connection, making it the first time.
func (l *link) dial() (*grpc.ClientConn, error) {
	l.once.Do(func() {
		if l.to, l.err = l.endpoint(); l.err == nil {
			l.conn, l.err = l.connect()
		}
	})
	return l.conn, l.err
}

// dialLocal is dial for what only the daemon of this machine answers.
func (l *link) dialLocal() (*grpc.ClientConn, error) {
	to, err := l.endpoint()
	if err != nil {
		return nil, err
	}
	if to.network != "unix" {
		return nil, Misusef("this command works on the daemon of this machine only: it cannot be used with --host %s", to)
	}
	return l.dial()
}

func (l *link) close() error {
	if l.conn == nil {
		return nil
	}
	return l.conn.Close()
}

// endpoint is --host, else MUSTER_HOST, else the local socket.
func (l *link) endpoint() (endpoint, error) {
	host := l.env.Host
	if host == "" {
		host = l.env.Getenv("MUSTER_HOST")
	}
	if host == "" {
		host = DefaultHost
	}
	return parseEndpoint(host)
}

// connect reaches the daemon or says why it cannot. gRPC by itself would dial
// later, and report no more than "unavailable".
func (l *link) connect() (*grpc.ClientConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(l.env.Patience, dialTimeout))
	defer cancel()
	creds := insecure.NewCredentials() // the socket's file mode is the guard
	if l.to.network == "tcp" {
		var err error
		if creds, err = l.identity(); err != nil {
			return nil, err
		}
	}
	if err := l.probe(ctx, creds); err != nil {
		return nil, unreachable(l.to, err)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(call.MaxMessage)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return l.reach(ctx)
		}),
		grpc.WithChainUnaryInterceptor(identify(), retryUnavailable(l.env.Err)),
	}
	// Translation is innermost: the interceptors above see kinds of errors.
	conn, err := grpc.NewClient("passthrough:///"+l.to.addr, append(options, rpcerror.DialOptions()...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", l.to, err)
	}
	return conn, nil
}

// reach makes a connection to the endpoint.
func (l *link) reach(ctx context.Context) (net.Conn, error) {
	dial := l.env.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return dial(ctx, l.to.network, l.to.addr)
}

// preface is how an HTTP/2 client begins: the magic line and empty settings.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// probe makes one connection by hand, to learn the error that gRPC hides. It
// waits for the first byte of an answer: only that shows that the other side
// took our certificate.
func (l *link) probe(ctx context.Context, creds credentials.TransportCredentials) error {
	conn, err := l.reach(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	secure, _, err := creds.Clone().ClientHandshake(ctx, l.to.addr, conn)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(secure, preface); err != nil {
		return err
	}
	_, err = secure.Read(make([]byte, 1))
	return err
}

// unreachable says what to do about a daemon that cannot be reached.
func unreachable(to endpoint, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot reach the muster daemon at %s: permission denied: run this as root (sudo)", to)
	case to.network == "unix" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)):
		return fmt.Errorf("cannot reach the muster daemon at %s: is it running? start it with \"systemctl start muster\" or \"muster daemon\"", to)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("cannot reach the muster daemon at %s: no answer in %s: %w", to, dialTimeout, errdefs.ErrUnavailable)
	}
	return fmt.Errorf("cannot reach the muster daemon at %s: %w", to, rpcerror.FromWire(rpcerror.ToWire(err)))
}
