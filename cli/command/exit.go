package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
)

// Exit statuses. Scripts depend on them: never change what one means.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitMisuse      = 2   // a flag, an argument or a value is wrong
	ExitRolledBack  = 3   // the update failed and was rolled back
	ExitPaused      = 4   // the update or rollback failed and is paused
	ExitTimeout     = 5   // not converged in the time given
	ExitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// ExitHelp documents the statuses of commands that wait for a rollout.
const ExitHelp = `Exit status:
    0  converged; with --detach, accepted
    1  failed
    2  a flag, an argument or a value is wrong; nothing was done
    3  the update failed and was rolled back
    4  the update failed and is paused
    5  not converged in time; the service goes on in the background
  130  interrupted; the service goes on in the background`

// DrainExitHelp documents the statuses of a command that waits for a drain.
const DrainExitHelp = `Exit status:
    0  changed; with --wait, no task is left on the node
    1  failed
    2  a flag, an argument or a value is wrong; nothing was done
    5  with --wait, not drained in time; the node keeps draining
  130  with --wait, interrupted; the node keeps draining`

// StatusError is an error with an exit status of its own.
type StatusError struct {
	Status int
	Err    error
}

// Error is the text of the cause.
func (e *StatusError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StatusError) Unwrap() error { return e.Err }

// misuse is an invalid argument whose text is the whole sentence.
type misuse struct{ error }

// Is makes a misuse an errdefs.ErrInvalidArgument.
func (misuse) Is(target error) bool { return target == errdefs.ErrInvalidArgument }

// Unwrap returns the cause.
func (m misuse) Unwrap() error { return m.error }

// Misusef returns an error for a wrong flag, argument or value.
func Misusef(format string, args ...any) error { return misuse{fmt.Errorf(format, args...)} }

// ExitStatus is the process status for err.
func ExitStatus(err error) int {
	var status *StatusError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &status):
		return status.Status
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errdefs.IsInvalidArgument(err):
		return ExitMisuse
	}
	return ExitFailure
}
