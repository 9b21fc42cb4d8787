package slot

import (
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// Restarted counts the restarts that a task in the place of old inherits: those
// with this spec since one stayed up for the policy's window, as Docker means it:
// the time after which a restart has succeeded. However long the delays between
// them are, those that did not succeed count. now only matters while old runs.
func (t Template) Restarted(old *clusterpb.Task, now time.Time) uint32 {
	window := t.Spec.GetRestart().GetWindow().AsDuration()
	if old.GetSpecVersion() != t.SpecVersion || window > 0 && Uptime(old, now) >= window {
		return 0
	}
	return old.GetRestarted()
}

// Uptime is how long a task ran, or has run until now.
func Uptime(t *clusterpb.Task, now time.Time) time.Duration {
	if t.GetRunningAt() == nil {
		return 0
	}
	if lifecycle.Ended(t.GetStatus().GetState()) {
		now = EndedAt(t)
	}
	return now.Sub(t.GetRunningAt().AsTime())
}

// EndedAt is the leader's clock when the task's end became known.
func EndedAt(t *clusterpb.Task) time.Time {
	if at := t.GetStatus().GetAppliedAt(); at != nil {
		return at.AsTime()
	}
	return t.GetStatus().GetAt().AsTime()
}
