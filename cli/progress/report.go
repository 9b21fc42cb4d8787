package progress

import (
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Verdict is what a view of a service means to who waits for it.
type Verdict int

// Verdicts. All but Waiting end the wait.
const (
	Waiting Verdict = iota
	// Converged: what was asked for runs, and did for the monitor period.
	Converged
	// RolledBack: the update failed and the service is as before.
	RolledBack
	// Paused: the update or rollback stopped and waits for a person.
	Paused
	// Canary: the new tasks run beside the old ones and wait for promotion.
	Canary
	// Flawed: the update or rollback came to its end, and slots failed in it.
	Flawed
	// Ended: tasks ended, and the restart policy lets them be.
	Ended
	// Removed: the service is gone.
	Removed
)

// Report is a view of a service in the words of people.
type Report struct {
	Verdict Verdict
	// Running of Desired slots run what was asked for.
	Running, Desired int
	// Before is how many of the others serve with a task from before the change.
	Before int
	// Phase is the state of the rollout, Message what it says of itself.
	Phase   clusterpb.UpdateStatus_State
	Message string
	// Slots are the service's slots by number, then its canaries.
	Slots []Slot
	// Failure is the task that explains why the rollout does not get on; its
	// ID is empty when none failed.
	Failure Failure
	// Headway grows as the rollout gets on in its phase. It tells one that
	// takes its time from one that is stuck.
	Headway int
	// Unrouted tells that the verdict did not wait any longer for all nodes to
	// route to the tasks as they are.
	Unrouted bool
	// Again is when the verdict may change though nothing happens; 0 is never.
	Again time.Duration
}

// Slot is what one slot does.
type Slot struct {
	Number uint32
	Canary bool
	// TaskID is the task that fills the slot; empty when there is none yet.
	TaskID, NodeID string
	State          clusterpb.TaskState
	// Reason is why it does not run yet, or what it is doing.
	Reason string
	// Done tells that nothing more is to be waited for.
	Done bool
	// Before tells that a task from before the change serves in it.
	Before bool
}

// Failure is a task that failed.
type Failure struct {
	TaskID, NodeID string
	Slot           uint32
	Err            string
}
