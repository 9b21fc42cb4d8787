package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// goodbyeTimeout bounds how long a stop waits until a manager has recorded the
// good-bye.
const goodbyeTimeout = time.Second

// KeepaliveParams returns the dial option that notices a dead manager below
// the session: gRPC's own default never does. Servers must allow pings this
// often (keepalive.EnforcementPolicy{MinTime: 5 s, PermitWithoutStream: true}).
func KeepaliveParams() grpc.DialOption {
	return grpc.WithKeepaliveParams(keepalive.ClientParameters{
		Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true,
	})
}

// talk exchanges messages until the session ends.
func (c *connection) talk(ctx context.Context, out *sender, in <-chan *dispatchpb.SessionResponse, ended <-chan error, period time.Duration) error {
	out.put(c.cfg.Handler.Outgoing()...)
	if c.cfg.leaving {
		return c.leave(ctx, out, in, ended)
	}
	p := newPulse(out, period)
	defer p.beat.Stop()
	behind := newBacklog(c.taker)
	defer close(behind.over)
	for {
		work, oldest := behind.next()
		select {
		case <-ctx.Done():
			return c.leave(context.WithoutCancel(ctx), out, in, ended)
		case err := <-ended:
			return fmt.Errorf("session with manager %s: %w", c.addr, err)
		case err := <-behind.failed:
			return fmt.Errorf("apply assignments of manager %s: %w", c.addr, err)
		case <-c.cfg.Handler.Due():
			out.put(c.cfg.Handler.Outgoing()...)
		case work <- oldest:
			if err := behind.shift(); err != nil {
				return err
			}
		case <-p.beat.C:
			if err := p.send(); err != nil {
				return fmt.Errorf("manager %s: %w", c.addr, err)
			}
		case msg := <-in:
			if p.hear(msg) {
				continue
			}
			if err := c.take(msg, behind); err != nil {
				return err
			}
		}
	}
}

// take does what a message asks for, or leaves it to the taker.
func (c *connection) take(msg *dispatchpb.SessionResponse, behind *backlog) error {
	switch k := msg.GetKind().(type) {
	case *dispatchpb.SessionResponse_Assignments:
		behind.put(k.Assignments)
	case *dispatchpb.SessionResponse_Recorded:
		c.cfg.Handler.Recorded(k.Recorded.GetSequence())
	case *dispatchpb.SessionResponse_Logs:
		c.cfg.Handler.Logs(k.Logs)
	case *dispatchpb.SessionResponse_Redirect:
		return redirected{leader: k.Redirect.GetLeaderAddr()}
	case *dispatchpb.SessionResponse_Registered, *dispatchpb.SessionResponse_Heartbeat:
		// Registered came first; heartbeats are the pulse's.
	}
	return nil
}

// leave announces the stop of the daemon and waits until that is recorded: the
// manager then ends the session. One that resigns meanwhile says so instead.
func (c *connection) leave(ctx context.Context, out *sender, in <-chan *dispatchpb.SessionResponse, ended <-chan error) error {
	out.put(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Goodbye{Goodbye: &dispatchpb.Goodbye{}}})
	out.closeSend()
	ctx, cancel := context.WithTimeout(ctx, goodbyeTimeout)
	defer cancel()
	for {
		select {
		case msg := <-in:
			if r := msg.GetRedirect(); r != nil {
				return redirected{leader: r.GetLeaderAddr()}
			}
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("say good-bye to manager %s: %w", c.addr, err)
		case <-ctx.Done():
			return fmt.Errorf("manager %s has not recorded the good-bye within %v: %w", c.addr, goodbyeTimeout, errdefs.ErrUnavailable)
		}
	}
}
