package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/internal/text"
	"github.com/muster/muster/proto/call"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

const (
	// connectTimeout bounds connecting: a machine that is gone does not refuse,
	// and there may be another manager to ask before this node counts as lost.
	connectTimeout = 1500 * time.Millisecond
	// answerTimeout bounds registering and the first answer.
	answerTimeout = 5 * time.Second
)

// line is an open stream to a manager, on which nothing has been said.
type line struct {
	addr   string
	conn   *grpc.ClientConn
	stream client
	cancel context.CancelFunc // ends the stream
}

type client = grpc.BidiStreamingClient[dispatchpb.SessionRequest, dispatchpb.SessionResponse]

// dial connects to a manager. The line outlives ctx, for the moment that a
// good-bye takes.
func dial(ctx context.Context, cfg Config, addr string) (*line, error) {
	own, end := context.WithCancel(context.WithoutCancel(ctx))
	l := &line{addr: addr, cancel: end}
	waiting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	stop := context.AfterFunc(waiting, l.cancel)
	err := l.open(own, cfg)
	if !stop() {
		err = fmt.Errorf("no answer within %v: %w", connectTimeout, errdefs.ErrUnavailable)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("connect to manager %s: %w", addr, err)
	}
	return l, nil
}

func (l *line) open(ctx context.Context, cfg Config) (err error) {
	if l.conn, err = cfg.Dial(ctx, l.addr); err != nil {
		return err
	}
	l.stream, err = dispatchpb.NewDispatcherServiceClient(l.conn).Session(ctx, grpc.MaxCallRecvMsgSize(call.MaxMessage))
	return err
}

func (l *line) close() {
	l.cancel()
	if l.conn != nil {
		_ = l.conn.Close() // an error would change nothing
	}
}

// connection is one session with one manager.
type connection struct {
	*line

	cfg   Config
	taker *taker
}

// run registers and talks until either side ends it, and closes the line.
// registered is called once the manager has accepted the session.
func (c *connection) run(ctx context.Context, registered func()) error {
	defer c.close()
	reg, err := c.register(ctx)
	if err != nil {
		return fmt.Errorf("register with manager %s: %w", c.addr, err)
	}
	registered()
	c.cfg.Log.InfoContext(ctx, "connected to the cluster", "addr", c.addr)
	connected, over := context.WithCancel(context.WithoutCancel(ctx))
	defer over()
	c.cfg.Handler.Connected(connected, c.conn)

	in := make(chan *dispatchpb.SessionResponse)
	ended := make(chan error, 1)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		ended <- receive(c.stream, in)
	}()
	out := newSender(c.stream, c.cfg.Log)
	err = c.talk(ctx, out, in, ended, reg.GetHeartbeatPeriod().AsDuration())
	c.cancel() // frees a Send or Recv that still waits
	out.stop()
	<-reading
	return err
}

// register says who the node is and returns how it was accepted. Nobody needs a
// good-bye before, so ctx ends the line.
func (c *connection) register(ctx context.Context) (*dispatchpb.Registered, error) {
	waiting, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	stop := context.AfterFunc(waiting, c.cancel)
	reg, err := c.introduce(waiting)
	if !stop() {
		err = fmt.Errorf("no answer within %v: %w", answerTimeout, errdefs.ErrUnavailable)
	}
	return reg, err
}

func (c *connection) introduce(ctx context.Context) (*dispatchpb.Registered, error) {
	reg, err := c.cfg.Handler.Register(ctx)
	if err != nil {
		return nil, fmt.Errorf("describe the node: %w", err)
	}
	text.CleanMessage(reg)
	// Send only fails once the stream has ended; Recv then says why.
	_ = c.stream.Send(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Register{Register: reg}})
	msg, err := c.stream.Recv()
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
