package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

const (
	// echoPeriods without a word from the manager mean that it is gone.
	echoPeriods = 3
	// goodbyeTimeout bounds how long a stop waits for the good-bye to be sent.
	goodbyeTimeout = time.Second
)

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
	if period <= 0 {
		period = time.Second
	}
	beat := time.NewTicker(period)
	defer beat.Stop()
	heard := time.Now()
	owed := 0 // heartbeats that were not echoed yet

	out.put(c.cfg.Handler.Outgoing()...)
	for {
		select {
		case <-ctx.Done():
			return c.leave(out, ended)
		case err := <-ended:
			return fmt.Errorf("session with manager %s: %w", c.addr, err)
		case <-c.cfg.Handler.Due():
			out.put(c.cfg.Handler.Outgoing()...)
		case <-beat.C:
			if silent := time.Since(heard); silent >= echoPeriods*period {
				return fmt.Errorf("manager %s is silent for %v: %w", c.addr, silent.Round(time.Millisecond), errdefs.ErrUnavailable)
			}
			owed++
			out.put(heartbeat())
		case msg := <-in:
			heard = time.Now()
			if msg.GetHeartbeat() != nil {
				if owed > 0 {
					owed--
				} else {
					// It answers none of ours: the manager wants to know now.
					owed++
					out.put(heartbeat())
				}
				continue
			}
			if err := c.take(msg); err != nil {
				return err
			}
			if d := msg.GetAssignments().GetSettings().GetHeartbeatPeriod().AsDuration(); d > 0 && d != period {
				period = d // the cluster's settings changed
				beat.Reset(period)
			}
		}
	}
}

func heartbeat() *dispatchpb.SessionRequest {
	return &dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Heartbeat{Heartbeat: &dispatchpb.Heartbeat{}}}
}

// take hands one message to the handler.
func (c *connection) take(msg *dispatchpb.SessionResponse) error {
	switch k := msg.GetKind().(type) {
	case *dispatchpb.SessionResponse_Assignments:
		if err := c.cfg.Handler.Assignments(k.Assignments); err != nil {
			return fmt.Errorf("apply assignments of manager %s: %w", c.addr, err)
		}
	case *dispatchpb.SessionResponse_Recorded:
		c.cfg.Handler.Recorded(k.Recorded.GetSequence())
	case *dispatchpb.SessionResponse_Logs:
		c.cfg.Handler.Logs(k.Logs)
	case *dispatchpb.SessionResponse_Redirect:
		return redirected{leader: k.Redirect.GetLeaderAddr()}
	case *dispatchpb.SessionResponse_Registered, *dispatchpb.SessionResponse_Heartbeat:
		// Registered came first; heartbeats are counted by talk.
	}
	return nil
}

// leave announces the stop of the daemon and waits until it is on its way.
func (c *connection) leave(out *sender, ended <-chan error) error {
	out.put(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Goodbye{Goodbye: &dispatchpb.Goodbye{}}})
	out.closeSend()
	timeout := time.NewTimer(goodbyeTimeout)
	defer timeout.Stop()
	select {
	case <-ended: //nolint:errcheck // the manager heard everything and ended the stream
	case <-timeout.C:
	}
	return nil
}
