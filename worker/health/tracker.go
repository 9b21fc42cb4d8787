package health

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/internal/text"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

const (
	// logLength is how many results are kept.
	logLength = 5
	// maxOutput bounds the output kept of one check.
	maxOutput = 4 << 10
)

// Result is the outcome of one check.
type Result struct {
	Start, End time.Time
	// ExitCode is 0 for success; -1 when the check timed out or could not run.
	ExitCode int32
	Output   string
}

// Tracker turns results into a state by Docker's rules: a success makes the
// task healthy at once and ends the start period; failures count towards
// retries only outside of it; retries failures in a row make it unhealthy.
type Tracker struct {
	check *clusterpb.HealthCheck
	start time.Time

	state  clusterpb.HealthStatus_State
	streak uint32
	log    []Result
}

// NewTracker returns the tracker of a task whose process started at start.
// check has all defaults filled in.
func NewTracker(check *clusterpb.HealthCheck, start time.Time) *Tracker {
	return &Tracker{check: check, start: start, state: clusterpb.HealthStatus_STATE_STARTING}
}

// Next takes one result and returns the state after it.
func (t *Tracker) Next(r Result) clusterpb.HealthStatus_State {
	r.Output = text.Clean(r.Output, maxOutput)
	t.log = append(t.log, r)
	t.log = t.log[max(0, len(t.log)-logLength):]
	switch {
	case r.ExitCode == 0:
		t.state, t.streak = clusterpb.HealthStatus_STATE_HEALTHY, 0
	case t.starting(r.Start):
		// Failures are expected before the task has come up.
	default:
		t.streak++
		if t.streak >= max(t.check.GetRetries(), 1) {
			t.state = clusterpb.HealthStatus_STATE_UNHEALTHY
		}
	}
	return t.state
}

// starting reports whether failures are still forgiven at the time.
func (t *Tracker) starting(at time.Time) bool {
	return t.state == clusterpb.HealthStatus_STATE_STARTING && at.Before(t.start.Add(t.check.GetStartPeriod().AsDuration()))
}

// Wait returns how long to wait before the next check, seen at now: the start
// interval during the start period, the interval else.
func (t *Tracker) Wait(now time.Time) time.Duration {
	interval := t.check.GetInterval().AsDuration()
	if left := t.start.Add(t.check.GetStartPeriod().AsDuration()).Sub(now); t.starting(now) {
		// The period's end must not hide behind a long start interval.
		return min(t.check.GetStartInterval().AsDuration(), max(left, time.Millisecond), interval)
	}
	return interval
}

// Status returns the state as it is reported.
func (t *Tracker) Status() *clusterpb.HealthStatus {
	s := &clusterpb.HealthStatus{State: t.state, FailingStreak: t.streak}
	for _, r := range t.log {
		s.Log = append(s.Log, &clusterpb.HealthResult{
			Start: timestamppb.New(r.Start), End: timestamppb.New(r.End), ExitCode: r.ExitCode, Output: r.Output,
		})
	}
	return s
}

// Resume lets the tracker go on with a task that was found healthy before, by
// the daemon that ran before.
func (t *Tracker) Resume() { t.state = clusterpb.HealthStatus_STATE_HEALTHY }
