package agent

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// Handler is what a session talks for. Assignments may take their time, such as
// for a disk: one goroutine hands them over in order. All other methods are
// called by another, one at a time, and must wait for nothing that hangs.
type Handler interface {
	// Register returns what to say of the node at the start of a session.
	Register(ctx context.Context) (*dispatchpb.Register, error)
	// Connected tells that a manager accepted the session: everything that is
	// not recorded has to be said again. conn is open until ctx is done.
	Connected(ctx context.Context, conn grpc.ClientConnInterface)
	// Outgoing returns what is to be said now, in order. It is called whenever
	// Due receives.
	Outgoing() []*dispatchpb.SessionRequest
	// Due receives when there may be something to say.
	Due() <-chan struct{}
	// Assignments applies what the node should be. An error means that it does
	// not fit what the handler holds, and that a full set is needed.
	Assignments(a *dispatchpb.Assignments) error
	// Recorded tells that reports up to sequence are replicated.
	Recorded(sequence uint64)
	// Logs starts, extends or ends a log subscription.
	Logs(sub *dispatchpb.LogSubscription)
}

// Config is what Run needs.
type Config struct {
	// Managers returns the control addresses, HOST:PORT, of the managers known
	// now. They are tried in random order.
	Managers func() []string
	// Local is the address of this node's own manager, tried first; "" when it
	// has none.
	Local string
	// Dial opens a connection to a manager. It must not wait for it to be up
	// longer than ctx allows. Keepalive is set by the caller; see
	// KeepaliveParams.
	Dial    func(ctx context.Context, addr string) (*grpc.ClientConn, error)
	Handler Handler
	Log     *slog.Logger

	// leaving: a session is opened for the good-bye alone.
	leaving bool
}
