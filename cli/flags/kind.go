package flags

import (
	"strings"

	"github.com/spf13/pflag"
)

// Kind is a kind of value.
type Kind[T any] struct {
	// Name stands for the value in help texts.
	Name string
	// Parse reads a value. Its error completes the sentence `--flag "value": …`.
	Parse func(string) (T, error)
}

// Var defines a flag that calls set each time it is given, in the order of
// the command line.
func Var[T any](fs *pflag.FlagSet, name, short, usage string, kind Kind[T], set func(T)) *pflag.Flag {
	return fs.VarPF(&value[T]{kind: kind, set: set}, name, short, usage)
}

// Switch defines a flag that is on or off.
func Switch(fs *pflag.FlagSet, name, short, usage string, set func(bool)) *pflag.Flag {
	f := fs.VarPF(&value[bool]{kind: Bool, set: set, text: "false"}, name, short, usage)
	f.NoOptDefVal = "true"
	return f
}

// Default makes help show text as what holds when the flag is not given. Help
// shows no default that is empty, 0 or false.
func Default(f *pflag.Flag, text string) { f.DefValue = text }

// Repeatable makes help tell that the flag may be given more than once.
func Repeatable(f *pflag.Flag) { f.Usage += " (repeatable)" }

// On defines a flag that is off unless it is given.
func On(fs *pflag.FlagSet, on *bool, name, short, usage string) {
	Switch(fs, name, short, usage, Into(on))
}

// value makes a kind a pflag.Value.
type value[T any] struct {
	kind Kind[T]
	set  func(T)
	text string
}

// Set reads s.
func (v *value[T]) Set(s string) error {
	t, err := v.kind.Parse(s)
	if err != nil {
		return err
	}
	v.text = s
	v.set(t)
	return nil
}

// String is the last value given. Before that it is nothing, or false for a
// switch: what holds by default is told by Default.
func (v *value[T]) String() string { return v.text }

// Type is the placeholder in help texts; a switch has none.
func (v *value[T]) Type() string { return v.kind.Name }

// Into returns a set function that stores into p.
func Into[T any](p *T) func(T) { return func(t T) { *p = t } }

// Append returns a set function that appends to p.
func Append[T any](p *[]T) func(T) { return func(t T) { *p = append(*p, t) } }

// OneOf is a kind whose values have names.
func OneOf[T any](names []string, values map[string]T) Kind[T] {
	return Kind[T]{Name: "string", Parse: func(s string) (t T, err error) {
		t, ok := values[s]
		if !ok {
			return t, errorf("must be %s", or(names))
		}
		return t, nil
	}}
}

// or joins names as a sentence does.
func or(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
