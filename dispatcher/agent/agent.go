package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/proto/call"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

const (
	// connectTimeout bounds connecting: a machine that is gone does not refuse,
	// and there may be another manager to ask before this node counts as lost.
	connectTimeout = 1500 * time.Millisecond
	// answerTimeout bounds registering and the first answer.
	answerTimeout = 5 * time.Second
	// echoPeriods without a word from the manager mean that it is gone.
	echoPeriods = 3
	// maxRedirects bounds how many managers in a row may point elsewhere.
	maxRedirects = 3
	// retryMin and retryMax bound the wait between rounds over all managers.
	// A new leader waits two leases (6 s) before it takes a silent node for
	// lost, so the longest wait with its jitter must stay well below that.
	retryMin, retryMax = 100 * time.Millisecond, 2 * time.Second
	// goodbyeTimeout bounds how long a stop waits for the good-bye to be sent.
	goodbyeTimeout = time.Second
)

// Handler is what a session talks for. Its methods are called by one
// goroutine at a time and must not wait for the network.
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
}

// Run keeps a session open until ctx is done. It returns nil then, after it
// told the manager good-bye.
func Run(ctx context.Context, cfg Config) error {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.Multiplier, retry.MaxInterval = retryMin, 2, retryMax
	silent := "" // the manager that did not answer last
	told := ""   // the last reason logged
	for ctx.Err() == nil {
		// A round: every manager once, until one takes the session.
		registered := false
		for _, addr := range order(cfg.Local, silent, cfg.Managers()) {
			ok, last, err := follow(ctx, cfg, addr)
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it was told to end
			}
			registered = registered || ok
			level := slog.LevelDebug
			if !errors.As(err, &redirected{}) {
				silent = last
				if reason := fmt.Sprint(err); reason != told { // not the same again
					told, level = reason, slog.LevelInfo
				}
			}
			cfg.Log.Log(ctx, level, "session ended", "addr", addr, "err", err)
			if ok {
				break // the managers may be others now
			}
		}
		if registered {
			retry.Reset()
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry.NextBackOff()):
		}
	}
	return nil
}

// order returns the managers to try: the local one, then the others shuffled,
// and last the one that did not answer: trying it takes the time in which the
// others could have been told that this node lives.
func order(local, silent string, managers []string) []string {
	others := slices.Clone(managers)
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] }) //nolint:gosec // spreads load, hides nothing
	if i := slices.Index(others, silent); i >= 0 {
		others = append(slices.Delete(others, i, i+1), silent)
	}
	if local == "" {
		return others
	}
	others = slices.DeleteFunc(others, func(a string) bool { return a == local })
	return append([]string{local}, others...)
}

// redirected is the error of a manager that does not lead.
type redirected struct{ leader string }

func (e redirected) Error() string {
	if e.leader == "" {
		return "there is no leader now"
	}
	return "another manager leads: " + e.leader
}

// follow runs a session with the manager at addr or the one it points to. ok
// tells whether a manager accepted it, last which one ended it.
func follow(ctx context.Context, cfg Config, addr string) (ok bool, last string, err error) {
	for range maxRedirects {
		last = addr
		c := &connection{cfg: cfg, addr: addr}
		err = c.run(ctx)
		if c.registered {
			ok = true
		}
		var r redirected
		if !errors.As(err, &r) || r.leader == "" || r.leader == addr {
			return ok, last, err
		}
		addr = r.leader
	}
	return ok, last, err
}

// connection is one session with one manager.
type connection struct {
	cfg        Config
	addr       string
	registered bool
}

type client = grpc.BidiStreamingClient[dispatchpb.SessionRequest, dispatchpb.SessionResponse]

// run connects, registers and talks until either side ends it.
func (c *connection) run(ctx context.Context) error {
	// The stream must outlive ctx for the moment that a good-bye takes.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	started := time.AfterFunc(connectTimeout, cancel)
	defer started.Stop()
	stopEarly := context.AfterFunc(ctx, func() {
		if started.Stop() {
			cancel() // not registered yet: nobody to say good-bye to
		}
	})
	defer stopEarly()

	conn, err := c.cfg.Dial(streamCtx, c.addr)
	if err != nil {
		return fmt.Errorf("connect to manager %s: %w", c.addr, err)
	}
	defer func() { _ = conn.Close() }() // an error would change nothing
	stream, err := dispatchpb.NewDispatcherServiceClient(conn).Session(streamCtx, grpc.MaxCallRecvMsgSize(call.MaxMessage))
	if err != nil {
		return fmt.Errorf("open a session with manager %s: %w", c.addr, err)
	}
	if !started.Reset(answerTimeout) {
		return fmt.Errorf("connect to manager %s: no answer within %v: %w", c.addr, connectTimeout, errdefs.ErrUnavailable)
	}
	reg, err := c.register(streamCtx, stream)
	if err != nil {
		return fmt.Errorf("register with manager %s: %w", c.addr, err)
	}
	if !started.Stop() {
		return fmt.Errorf("register with manager %s: no answer within %v: %w", c.addr, answerTimeout, errdefs.ErrUnavailable)
	}
	c.registered = true
	c.cfg.Log.InfoContext(ctx, "connected to the cluster", "addr", c.addr)
	c.cfg.Handler.Connected(streamCtx, conn)

	in := make(chan *dispatchpb.SessionResponse)
	ended := make(chan error, 1)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		ended <- receive(stream, in)
	}()
	out := newSender(stream)
	err = c.talk(ctx, out, in, ended, reg.GetHeartbeatPeriod().AsDuration())
	cancel() // frees a Send or Recv that still waits
	out.stop()
	<-reading
	return err
}

// register says who the node is and returns how it was accepted.
func (c *connection) register(ctx context.Context, stream client) (*dispatchpb.Registered, error) {
	reg, err := c.cfg.Handler.Register(ctx)
	if err != nil {
		return nil, fmt.Errorf("describe the node: %w", err)
	}
	// Send only fails once the stream has ended; Recv then says why.
	_ = stream.Send(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Register{Register: reg}})
	msg, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	switch k := msg.GetKind().(type) {
	case *dispatchpb.SessionResponse_Registered:
		return k.Registered, nil
	case *dispatchpb.SessionResponse_Redirect:
		return nil, redirected{leader: k.Redirect.GetLeaderAddr()}
	default:
		return nil, fmt.Errorf("unexpected first answer %T: %w", k, errdefs.ErrFailedPrecondition)
	}
}

func receive(stream client, in chan<- *dispatchpb.SessionResponse) error {
	for {
		msg, err := stream.Recv()
		if err != nil {
			return err
		}
		select {
		case in <- msg:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}
