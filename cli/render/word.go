package render

import (
	"errors"
	"regexp"
	"text/template"

	"github.com/muster/muster/cli/command"
)

// word is a --format that is neither a template nor text around one.
var word = regexp.MustCompile(`^[a-zA-Z]+$`)

// checkWord refuses a --format that is one word, which would be printed once an
// object. known are the words that mean something.
func checkWord(format, known string) error {
	if !word.MatchString(format) {
		return nil
	}
	return command.Misusef("--format %q: must be %s or a Go template such as {{.ID}}", format, known)
}

// The template package has no types for what is wrong with a field.
var (
	noField = regexp.MustCompile(`at <(.*)>: can't evaluate field (\S+) in type `)
	typed   = regexp.MustCompile(`at <(.*)>: (.*) of type .*$`)
	unset   = regexp.MustCompile(`at <(.*)>: nil pointer evaluating \S+\.(\w+)$`)
)

// explain says what a template could not read of an object, in words that do
// not need the types of this program.
func explain(format string, err error) error {
	if _, ok := errors.AsType[template.ExecError](err); !ok {
		return command.Misusef("--format %q: %w", format, err)
	}
	if m := noField.FindStringSubmatch(err.Error()); m != nil {
		return command.Misusef("--format %q: there is no field %s in %s", format, m[2], m[1])
	}
	if m := unset.FindStringSubmatch(err.Error()); m != nil {
		return command.Misusef("--format %q: %s has no %s here: what would hold it is not set", format, m[1], m[2])
	}
	if m := typed.FindStringSubmatch(err.Error()); m != nil {
		return command.Misusef("--format %q: %s: %s", format, m[1], m[2])
	}
	return command.Misusef("--format %q: %w", format, err)
}
