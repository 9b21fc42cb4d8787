package agent

import (
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// echoPeriods without a word from the manager mean that it is gone.
const echoPeriods = 3

// pulse is how both sides of a session know that the other lives.
type pulse struct {
	out    *sender
	period time.Duration
	beat   *time.Ticker
	heard  time.Time
	owed   int // heartbeats that were not echoed yet
}

func newPulse(out *sender, period time.Duration) *pulse {
	if period <= 0 {
		period = time.Second
	}
	return &pulse{out: out, period: period, beat: time.NewTicker(period), heard: time.Now()}
}

// send sends a heartbeat, unless the manager has been silent for too long.
func (p *pulse) send() error {
	if silent := time.Since(p.heard); silent >= echoPeriods*p.period {
		return fmt.Errorf("silent for %v: %w", silent.Round(time.Millisecond), errdefs.ErrUnavailable)
	}
	p.owed++
	p.out.put(heartbeat())
	return nil
}

// hear notes a message, and says whether it was no more than a heartbeat.
func (p *pulse) hear(msg *dispatchpb.SessionResponse) bool {
	p.heard = time.Now()
	if msg.GetHeartbeat() != nil {
		if p.owed > 0 {
			p.owed--
		} else {
			// It answers none of ours: the manager wants to know now.
			p.owed++
			p.out.put(heartbeat())
		}
		return true
	}
	if d := msg.GetAssignments().GetSettings().GetHeartbeatPeriod().AsDuration(); d > 0 && d != p.period {
		p.period = d // the cluster's settings changed
		p.beat.Reset(d)
	}
	return false
}

func heartbeat() *dispatchpb.SessionRequest {
	return &dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Heartbeat{Heartbeat: &dispatchpb.Heartbeat{}}}
}
