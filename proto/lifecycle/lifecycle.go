// Package lifecycle holds the rules about the states of tasks and nodes: their
// order, which are final, which moves are legal, and what they mean. Workers,
// managers, the state machine and the client all follow this one table.
package lifecycle

import (
	"strings"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Short names of the states, to keep rules readable.
const (
	New       = clusterpb.TaskState_TASK_STATE_NEW
	Pending   = clusterpb.TaskState_TASK_STATE_PENDING
	Assigned  = clusterpb.TaskState_TASK_STATE_ASSIGNED
	Accepted  = clusterpb.TaskState_TASK_STATE_ACCEPTED
	Preparing = clusterpb.TaskState_TASK_STATE_PREPARING
	Ready     = clusterpb.TaskState_TASK_STATE_READY
	Starting  = clusterpb.TaskState_TASK_STATE_STARTING
	Running   = clusterpb.TaskState_TASK_STATE_RUNNING
	Complete  = clusterpb.TaskState_TASK_STATE_COMPLETE
	Shutdown  = clusterpb.TaskState_TASK_STATE_SHUTDOWN
	Failed    = clusterpb.TaskState_TASK_STATE_FAILED
	Rejected  = clusterpb.TaskState_TASK_STATE_REJECTED
	Remove    = clusterpb.TaskState_TASK_STATE_REMOVE
	Orphaned  = clusterpb.TaskState_TASK_STATE_ORPHANED
)

// Ended reports whether a task in the observed state s has stopped for good.
func Ended(s clusterpb.TaskState) bool { return s >= Complete }

// EndedByItself reports whether a task in the observed state s stopped without
// having been told to by the loss of its node or a manager: such an end is a
// matter for the restart policy.
func EndedByItself(s clusterpb.TaskState) bool { return s == Complete || IsFailure(s) }

// IsFailure reports whether a task in the observed state s ended in failure.
func IsFailure(s clusterpb.TaskState) bool { return s == Failed || s == Rejected }

// Advances reports whether next may follow current as the observed status of
// a task. Observed state only grows. Within a state that has not ended,
// details such as message, health and container may change.
func Advances(current, next clusterpb.TaskState) bool {
	if next == clusterpb.TaskState_TASK_STATE_UNSPECIFIED || next == Remove {
		return false
	}
	if Ended(current) {
		// A task of a lost node may be reported late, but stays what it is.
		return false
	}
	return next >= current
}

// Reportable reports whether a node may say of a task of its own that it is in
// that state. That its node is lost is for managers to judge: such a task is
// replaced at once, without the back-off of the restart policy.
func Reportable(s clusterpb.TaskState) bool {
	_, known := clusterpb.TaskState_name[int32(s)]
	return known && s >= Assigned && s != Remove && s != Orphaned
}

// Raises reports whether next may follow current as the desired state.
func Raises(current, next clusterpb.TaskState) bool { return next > current }

// Name returns the state as people read it: "running".
func Name(s clusterpb.TaskState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "TASK_STATE_"))
}

// Parse is the inverse of Name.
func Parse(name string) (clusterpb.TaskState, bool) {
	v, ok := clusterpb.TaskState_value["TASK_STATE_"+strings.ToUpper(name)]
	return clusterpb.TaskState(v), ok && v != 0
}
