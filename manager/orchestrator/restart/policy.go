package restart

import (
	"fmt"
	"time"

	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/spec"
)

const (
	// minUptime is the least time a task has to stay up for the back-off to start anew.
	minUptime = 10 * time.Second
	// minBackoff is what doubles when the delay is 0: the first restart in a
	// row is immediate then, the following ones are not.
	minBackoff = 100 * time.Millisecond
)

// Decision is what the policy says about a slot whose newest task ended by itself.
type Decision struct {
	// Again tells whether the slot gets another task.
	Again bool
	// After is when that task may start.
	After time.Time
	// Attempt is how many restarts in a row it will be.
	Attempt uint32
	// Reason says in words why it waits, or why there is none.
	Reason string
}

// Decide applies the restart policy of next, the template of the replacement,
// to a slot whose newest task ended by itself.
//
// It depends on when the task ended and not on when it is asked, so that a
// slot that was given up stays given up.
func Decide(next slot.Template, s slot.Slot) Decision {
	policy, last := next.Spec.GetRestart(), s.Newest()
	switch policy.GetCondition() {
	case clusterpb.RestartPolicy_CONDITION_NONE:
		return Decision{Reason: "not restarted: the restart condition is none"}
	case clusterpb.RestartPolicy_CONDITION_ON_FAILURE:
		if last.GetStatus().GetState() == lifecycle.Complete {
			return Decision{Reason: "not restarted: it completed"}
		}
	case clusterpb.RestartPolicy_CONDITION_UNSPECIFIED, clusterpb.RestartPolicy_CONDITION_ANY:
	}
	if allowed := policy.GetMaxAttempts(); allowed > 0 && next.Restarted(last, slot.EndedAt(last)) >= allowed {
		return Decision{Reason: fmt.Sprintf("%s (not restarted: used up all %d restart attempts)", slot.Cause(last), allowed)}
	}
	attempt := uint32(1)
	if last.GetSpecVersion() == next.SpecVersion && !stayedUp(policy, last) {
		attempt = last.GetAttempt() + 1
	}
	delay := backoff(policy, attempt)
	return Decision{
		Again:   true,
		After:   slot.EndedAt(last).Add(delay),
		Attempt: attempt,
		Reason:  describe(delay, attempt, last),
	}
}

// stayedUp reports whether the task ran for longer than the delay it had
// waited, and at least minUptime.
func stayedUp(policy *clusterpb.RestartPolicy, t *clusterpb.Task) bool {
	return slot.Uptime(t, slot.EndedAt(t)) > max(minUptime, backoff(policy, t.GetAttempt()))
}

// backoff is the delay before the restart that is the attempt-th in a row.
func backoff(policy *clusterpb.RestartPolicy, attempt uint32) time.Duration {
	delay, limit := max(0, spec.RestartDelay(policy)), spec.RestartMaxDelay(policy)
	switch attempt {
	case 0:
		return 0
	case 1:
		return delay
	}
	delay = max(delay, minBackoff)
	for i := uint32(1); i < attempt && delay < limit; i++ {
		delay *= 2
	}
	return min(delay, limit)
}

// describe says what the task ended of, and then what is done about it: lists cut
// the end. It stays true while time goes by; how long is left is told by who shows
// StartAfter.
func describe(delay time.Duration, attempt uint32, last *clusterpb.Task) string {
	what := "restarts at once"
	if delay > 0 {
		what = "restarts after " + delay.Round(time.Millisecond).String()
	}
	if attempt > 1 {
		ends := "failures"
		if last.GetStatus().GetState() == lifecycle.Complete {
			ends = "ends"
		}
		what += fmt.Sprintf(", %d %s in a row", attempt, ends)
	}
	return fmt.Sprintf("%s (%s)", slot.Cause(last), what)
}
