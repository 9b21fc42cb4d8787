package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

// Report prints err for a person: one line for each thing that went wrong.
// Who interrupts a command knows and is told nothing.
func Report(w io.Writer, err error) {
	for _, e := range flatten(err) {
		if e.Error() == context.Canceled.Error() {
			continue
		}
		fmt.Fprintf(w, "muster: %s\n", Text(e))
	}
}

// flatten opens errors.Join, which stands for several targets. Only the
// outermost error may be one.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || strings.Count(err.Error(), "\n") == 0 {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

// Text is what err says on one line that can be printed, without the names of kinds that only
// repeat what the sentence before them said.
func Text(err error) string {
	s := Printable(strings.Join(strings.Fields(err.Error()), " "))
	for _, kind := range []error{
		errdefs.ErrInvalidArgument, errdefs.ErrFailedPrecondition, errdefs.ErrUnavailable, errdefs.ErrOutOfRange, errdefs.ErrAlreadyExists,
		errdefs.ErrConflict,
	} {
		s = strings.TrimSuffix(strings.TrimPrefix(s, kind.Error()+": "), ": "+kind.Error())
	}
	if missing.MatchString(s) {
		s = strings.TrimSuffix(s, ": "+errdefs.ErrNotFound.Error())
	}
	return s
}

// missing is a sentence that tells that something is not there.
var missing = regexp.MustCompile(`(^|: )no [a-z ]+ ("[^"]*"|\S+): not found$`)

// FlagError turns an error of the flag parser into a misuse that names the
// flag, the value and what is allowed.
func FlagError(path string, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return Misusef("--%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), invalid.Unwrap())
	}
	if isFlagGap(path, err) {
		return Misusef("%w: %s; see %q", err, notYet, path+" --help")
	}
	return Misusef("%w; see %q", err, path+" --help")
}

// Misused makes a misuse of errors that the parser returns for flags before
// the command's name, which pass no FlagErrorFunc.
func Misused(path string, err error) error {
	var (
		invalid  *pflag.InvalidValueError
		unknown  *pflag.NotExistError
		required *pflag.ValueRequiredError
		syntax   *pflag.InvalidSyntaxError
	)
	if errors.Is(err, errdefs.ErrInvalidArgument) {
		return err
	}
	if errors.As(err, &invalid) || errors.As(err, &unknown) || errors.As(err, &required) || errors.As(err, &syntax) {
		return FlagError(path, err)
	}
	return err
}
