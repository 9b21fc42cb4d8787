package node

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/mtls/mtlstest"
)

// silent is a network in which nothing answers. It counts the attempts.
type silent struct {
	Network
	dialed map[string]int
}

func (s silent) Dial(ctx context.Context, addr string) (net.Conn, error) {
	s.dialed[addr]++
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAskTellsWhichManagerWasSilent(t *testing.T) {
	credentials := mtlstest.New(t, "c1").Issue("n1", mtlstest.Worker)
	synctest.Test(t, func(t *testing.T) {
		s := silent{dialed: make(map[string]int)}
		c := connector{s, func() *mtls.Credentials { return credentials }}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		managers := func() []string { return []string{"192.0.2.1:2377", "192.0.2.2:2377"} }
		err := c.askAny(ctx, managers, func(*grpc.ClientConn) error {
			t.Error("a manager that does not answer is called")
			return nil
		})
		const want = "manager at 192.0.2.1:2377: no answer within 2s: unavailable"
		if !errdefs.IsUnavailable(err) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if s.dialed["192.0.2.1:2377"] == 0 || s.dialed["192.0.2.2:2377"] == 0 {
			t.Errorf("asked %v, want each manager in its turn", s.dialed)
		}
	})
}
