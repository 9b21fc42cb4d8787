package state

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
)

// refusal is the state machine's answer to a change that its rules do not
// allow. It is the same on every replica and is kept, as cause and text, with
// the request it answered.
type refusal struct {
	cause cause
	text  string
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() error { return r.cause.sentinel() }

func refuse(c cause, format string, args ...any) error {
	return &refusal{cause: c, text: fmt.Sprintf(format, args...)}
}

// cause is the sort of a refusal. Its text is part of the snapshot format.
type cause string

const (
	notFound      cause = "not found"
	alreadyExists cause = "already exists"
	conflict      cause = "conflict"
	invalid       cause = "invalid argument"
	precondition  cause = "failed precondition"
	exhausted     cause = "resource exhausted"
)

// sentinel returns the errdefs kind that callers ask for.
func (c cause) sentinel() error {
	switch c {
	case notFound:
		return errdefs.ErrNotFound
	case alreadyExists:
		return errdefs.ErrAlreadyExists
	case conflict:
		return errdefs.ErrConflict
	case invalid:
		return errdefs.ErrInvalidArgument
	case precondition:
		return errdefs.ErrFailedPrecondition
	case exhausted:
		return errdefs.ErrResourceExhausted
	default:
		return errdefs.ErrUnknown
	}
}

// split takes an error of a rule apart, to be remembered.
func split(err error) (c cause, text string) {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.cause, r.text
	}
	return "", ""
}

// checkVersion refuses a write made against anything but the current version,
// which is 0 of an object that does not exist: then the write must create it.
// what names the object as people do: `service "web"`.
func checkVersion(what string, current, claimed uint64) error {
	switch {
	case current == claimed:
		return nil
	case current == 0:
		return refuse(notFound, "%s is gone", what)
	case claimed == 0:
		return refuse(alreadyExists, "%s exists already", what)
	default:
		return refuse(conflict, "%s was changed meanwhile: its version is %d, not %d", what, current, claimed)
	}
}
