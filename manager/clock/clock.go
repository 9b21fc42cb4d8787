// Package clock keeps what waits in the cluster from waiting for a leader's clock
// that was ahead.
package clock

import (
	"time"

	"github.com/muster/muster/manager/control"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// period is how often is looked whether this leader's own clock was put right.
const period = 5 * time.Second

// agenda is the controller's only key: there is one clock.
const agenda = "clock"

// Controller returns the controller that sets the clock back where the last
// command was ahead of this leader's. It has to come before those that go by the
// times in the state.
func Controller() *control.Controller {
	return &control.Controller{
		Name:   "clock",
		Keys:   func(*state.State) []string { return []string{agenda} },
		KeysOf: func(*state.State, state.Ref) []string { return nil },
		Plan: func(s *state.State, _ string, now time.Time) ([]*raftpb.Change, time.Duration) {
			if s.IsAhead(now) {
				return []*raftpb.Change{state.SetClock()}, period
			}
			return nil, period
		},
	}
}
