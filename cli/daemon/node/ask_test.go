package node

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/mtls/mtlstest"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/proto/call"
)

// managersAt is a network in which some managers answer, and the others are
// silent: what is frozen takes connections, and what is gone does not refuse.
type managersAt struct {
	Network
	answer map[string]*bufconn.Listener
	dialed *sync.Map // the addresses
}

func (n managersAt) Dial(ctx context.Context, addr string) (net.Conn, error) {
	n.dialed.Store(addr, true)
	if l := n.answer[addr]; l != nil {
		return l.DialContext(ctx)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// asking returns what asks the managers, of which those given answer.
func asking(t *testing.T, answer ...string) (connector, managersAt) {
	t.Helper()
	return askingOf(t, func(grpc.ServiceRegistrar) {}, answer...)
}

// askingOf is asking, of managers that serve what is registered.
func askingOf(t *testing.T, register func(grpc.ServiceRegistrar), answer ...string) (connector, managersAt) {
	t.Helper()
	ca := mtlstest.New(t, "c1")
	n := managersAt{answer: make(map[string]*bufconn.Listener), dialed: new(sync.Map)}
	for _, addr := range answer {
		own := mtlstest.Holding(ca.Issue("m"+addr, mtlstest.Manager))
		l := bufconn.Listen(1 << 16)
		port := mtls.Server{Credentials: own.Current, Protocols: map[string]call.Callers{"h2": call.AnyNode}}
		s := grpc.NewServer(append(rpcerror.ServerOptions(), grpc.Creds(credentials.NewTLS(port.TLS())))...)
		register(s)
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		t.Cleanup(func() {
			s.Stop()
			if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				t.Error(err)
			}
		})
		n.answer[addr] = l
	}
	own := ca.Issue("n1", mtlstest.Worker)
	return connector{n, func() *mtls.Credentials { return own }}, n
}

// target is the address that a connection is to.
func target(conn *grpc.ClientConn) string { return conn.Target()[len("passthrough:"):] }

const first, second, third = "192.0.2.1:2377", "192.0.2.2:2377", "192.0.2.3:2377"

func TestAskTellsWhichManagerWasSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := asking(t)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := c.askAny(ctx, func() []string { return []string{first, second} }, func(context.Context, *grpc.ClientConn) error {
			t.Error("a manager that does not answer is called")
			return nil
		})
		const want = "manager at 192.0.2.1:2377: no answer within 2s: unavailable"
		if !errdefs.IsUnavailable(err) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		for _, addr := range []string{first, second} {
			if _, ok := n.dialed.Load(addr); !ok {
				t.Errorf("%s was not asked, want each manager in its turn", addr)
			}
		}
	})
}

// TestAskPassesBySilentManagers: those that are frozen or gone do not take the
// time that a user waits.
func TestAskPassesBySilentManagers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := asking(t, third)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), usersTimeout)
		defer cancel()
		var asked []string
		err := c.askAny(ctx, func() []string { return []string{first, second, third} }, func(_ context.Context, conn *grpc.ClientConn) error {
			asked = append(asked, target(conn))
			if s := conn.GetState(); s != connectivity.Ready {
				t.Errorf("called while the connection is %v", s)
			}
			return nil
		})
		if took := time.Since(began); err != nil || !slices.Equal(asked, []string{third}) || took > time.Second {
			t.Errorf("after %v %q was asked: %v; want %q within a second", took, asked, err, third)
		}
	})
}

// TestAskGoesOnToTheNextManager: one that was reached and then falls silent
// leaves time to ask another.
func TestAskGoesOnToTheNextManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := asking(t, first, second)
		ctx, cancel := context.WithTimeout(t.Context(), usersTimeout)
		defer cancel()
		var asked []string
		err := c.askAny(ctx, func() []string { return []string{first, second} }, func(ctx context.Context, conn *grpc.ClientConn) error {
			if asked = append(asked, target(conn)); len(asked) == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		if err != nil || !slices.Equal(asked, []string{first, second}) {
			t.Errorf("%q were asked: %v; want %q and then %q", asked, err, first, second)
		}
	})
}
