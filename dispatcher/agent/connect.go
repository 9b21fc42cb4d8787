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

// connection is one session with one manager.
type connection struct {
	cfg        Config
	taker      *taker
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
	stream, reg, err := c.open(streamCtx, conn, started)
	if err != nil {
		return err
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
	out := newSender(stream, c.cfg.Log)
	err = c.talk(ctx, out, in, ended, reg.GetHeartbeatPeriod().AsDuration())
	cancel() // frees a Send or Recv that still waits
	out.stop()
	<-reading
	return err
}

// open opens the stream and registers. started is the timer that ends ctx: it
// runs while connecting, is reset for the answer, and stopped after that.
func (c *connection) open(ctx context.Context, conn *grpc.ClientConn, started *time.Timer) (client, *dispatchpb.Registered, error) {
	stream, err := dispatchpb.NewDispatcherServiceClient(conn).Session(ctx, grpc.MaxCallRecvMsgSize(call.MaxMessage))
	if err != nil {
		return nil, nil, fmt.Errorf("open a session with manager %s: %w", c.addr, err)
	}
	if !started.Reset(answerTimeout) {
		return nil, nil, fmt.Errorf("connect to manager %s: no answer within %v: %w", c.addr, connectTimeout, errdefs.ErrUnavailable)
	}
	reg, err := c.register(ctx, stream)
	if err != nil {
		return nil, nil, fmt.Errorf("register with manager %s: %w", c.addr, err)
	}
	if !started.Stop() {
		return nil, nil, fmt.Errorf("register with manager %s: no answer within %v: %w", c.addr, answerTimeout, errdefs.ErrUnavailable)
	}
	return stream, reg, nil
}

// register says who the node is and returns how it was accepted.
func (c *connection) register(ctx context.Context, stream client) (*dispatchpb.Registered, error) {
	reg, err := c.cfg.Handler.Register(ctx)
	if err != nil {
		return nil, fmt.Errorf("describe the node: %w", err)
	}
	text.CleanMessage(reg)
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
