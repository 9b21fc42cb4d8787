package task

import (
	"errors"
	"fmt"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/worker/executor"
)

// action is what a controller does next.
type action int

const (
	// rest: nothing, until the order changes.
	rest action = iota
	// note: nothing but to report the next state.
	note
	// prepare makes the container, start its process.
	prepare
	start
	// watch waits for the process to end, become healthy or unhealthy.
	watch
	// stop drains the task, lets its process end, and cleans up.
	stop
	// evict is stop for a task that managers did not ask to stop.
	evict
	// clean frees what a task without a process still holds.
	clean
)

// exited is the cause that the process has ended by itself.
type exited struct{ executor.Exit }

func (e exited) Error() string {
	switch {
	case e.OOMKilled:
		return fmt.Sprintf("exit status %d: killed for lack of memory (limit reached)", e.Code)
	case e.Code == 0:
		return ""
	case e.Reason != "":
		return fmt.Sprintf("exit status %d: %s", e.Code, e.Reason)
	default:
		return fmt.Sprintf("exit status %d", e.Code)
	}
}

// unhealthy is the cause that health checks failed.
type unhealthy struct{ output string }

func (e unhealthy) Error() string {
	if e.output == "" {
		return "unhealthy"
	}
	return "unhealthy: " + e.output
}

// unstarted is the cause that the process of a prepared task did not start.
type unstarted struct{ error }

func (e unstarted) Unwrap() error { return e.error }

// step decides what to do next with a task that should be in desired, was
// last observed in observed, and met cause since; and which state to report
// once that is done.
func step(desired, observed clusterpb.TaskState, cause error) (action, clusterpb.TaskState) {
	switch {
	case lifecycle.Ended(observed):
		return clean, observed
	case desired >= lifecycle.Shutdown:
		return stopped(observed, cause)
	case cause != nil:
		return broken(observed, cause)
	case observed < lifecycle.Accepted:
		return note, lifecycle.Accepted
	case observed == lifecycle.Accepted && desired >= lifecycle.Ready:
		return note, lifecycle.Preparing
	case observed == lifecycle.Preparing:
		return prepare, lifecycle.Ready
	case observed == lifecycle.Ready && desired == lifecycle.Running:
		return start, lifecycle.Starting
	case observed == lifecycle.Starting:
		return watch, lifecycle.Running
	case observed == lifecycle.Running:
		return watch, lifecycle.Running
	default:
		return rest, observed
	}
}

// stopped is the step of a task that should stop.
func stopped(observed clusterpb.TaskState, cause error) (action, clusterpb.TaskState) {
	var exit exited
	if observed < lifecycle.Starting || errors.As(cause, &exit) {
		return clean, lifecycle.Shutdown
	}
	return stop, lifecycle.Shutdown
}

// broken is the step of a task that met cause and was not asked to stop.
func broken(observed clusterpb.TaskState, cause error) (action, clusterpb.TaskState) {
	var (
		exit exited
		sick unhealthy
		late unstarted
	)
	switch {
	case errors.As(cause, &sick):
		return evict, lifecycle.Failed
	case errors.As(cause, &exit) && exit.Code == 0 && !exit.OOMKilled:
		return clean, lifecycle.Complete
	case errors.As(cause, &exit), errors.As(cause, &late), observed >= lifecycle.Starting:
		return clean, lifecycle.Failed
	default:
		return clean, lifecycle.Rejected
	}
}
