package edit

import (
	"slices"

	"github.com/spf13/pflag"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/help"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Spec is short for what all edits change.
type Spec = clusterpb.ServiceSpec

// Edits are what the flags of one command line do to a spec. Removals go
// first, then files, then single values in the order they were given, so that
// "--env-rm A --env-add A=1" means the same in any order.
type Edits struct {
	fs     *pflag.FlagSet
	update bool // the flags of update, not of create
	lookup flags.Lookup
	group  string // what the flags that are being defined stand under in help

	remove, first, set []func(*Spec)
}

// ForCreate defines the flags of "service create" on fs.
func ForCreate(fs *pflag.FlagSet, lookup flags.Lookup) *Edits {
	return newEdits(fs, lookup, false)
}

// ForUpdate defines the flags of "service update" on fs: the same, but lists
// have a flag to add to them and one to remove from them.
func ForUpdate(fs *pflag.FlagSet, lookup flags.Lookup) *Edits {
	return newEdits(fs, lookup, true)
}

func newEdits(fs *pflag.FlagSet, lookup flags.Lookup, update bool) *Edits {
	fs.SortFlags = false // help shows the groups in this order
	e := &Edits{fs: fs, lookup: lookup, update: update}
	for _, g := range []struct {
		heading string
		define  func()
	}{
		{"", e.service},
		{"container", e.process},
		{"container", e.environment},
		{"container", e.security},
		{"network", e.network},
		{"resource", e.resources},
		{"health check", e.health},
		{"placement", e.placement},
		{"restart", e.restart},
		{"update", e.updates},
		{"rollback", e.rollbacks},
	} {
		e.group = g.heading
		g.define()
	}
	return e
}

// Any reports whether any flag that edits the spec was given.
func (e *Edits) Any() bool { return len(e.remove)+len(e.first)+len(e.set) > 0 }

// Apply edits s.
func (e *Edits) Apply(s *Spec) {
	unset := unsetParts(s)
	for _, edit := range slices.Concat(e.remove, e.first, e.set) {
		edit(s)
	}
	unset.restore(s)
}

// Check finds flags that cannot be used together.
func (e *Edits) Check() error {
	if f := e.fs.Lookup("no-healthcheck"); f.Changed && f.Value.String() != "false" {
		for _, name := range healthFlags {
			if e.fs.Changed(name) {
				return command.Misusef("--no-healthcheck and --%s cannot be used together", name)
			}
		}
	}
	n := 0
	for _, name := range []string{"health-cmd", "health-http", "health-tcp"} {
		if e.fs.Changed(name) {
			n++
		}
	}
	if n > 1 {
		return command.Misusef("--health-cmd, --health-http and --health-tcp cannot be used together: a task has one health check")
	}
	return nil
}

// one defines a flag with a single value.
func one[T any](e *Edits, name, short, usage string, kind flags.Kind[T], set func(*Spec, T)) *pflag.Flag {
	return e.grouped(flags.Var(e.fs, name, short, usage, kind, func(t T) {
		e.set = append(e.set, func(s *Spec) { set(s, t) })
	}))
}

// grouped puts a flag under the heading of those being defined.
func (e *Edits) grouped(f *pflag.Flag) *pflag.Flag {
	help.Group(f, e.group)
	return f
}

// byDefault tells what holds for a service that is created without the flag;
// an update changes nothing by a flag that is not given.
func (e *Edits) byDefault(f *pflag.Flag, text string) {
	if !e.update {
		flags.Default(f, text)
	}
}

// toggle defines a flag that is on or off.
func (e *Edits) toggle(name, short, usage string, set func(*Spec, bool)) {
	e.grouped(flags.Switch(e.fs, name, short, usage, func(b bool) {
		e.set = append(e.set, func(s *Spec) { set(s, b) })
	}))
}

// list is how the flags of a list are called and described: NAME for create,
// NAME-add and NAME-rm for update. Only create has the shorthand, as in Docker.
type list struct {
	name, short     string
	create, add, rm string
}

// many defines the flags of a list.
func many[T any](e *Edits, l list, kind flags.Kind[T], add func(*Spec, T), remove func(*Spec, string)) {
	manyKinds(e, l, kind, add, flags.Name, remove)
}

// manyKinds is many where -rm takes another kind of value.
func manyKinds[T, K any](e *Edits, l list, kind flags.Kind[T], add func(*Spec, T), key flags.Kind[K], remove func(*Spec, K)) {
	if !e.update {
		flags.Repeatable(one(e, l.name, l.short, l.create, kind, add))
		return
	}
	flags.Repeatable(one(e, l.name+"-add", "", l.add, kind, add))
	flags.Repeatable(e.grouped(flags.Var(e.fs, l.name+"-rm", "", l.rm, key, func(k K) {
		e.remove = append(e.remove, func(s *Spec) { remove(s, k) })
	})))
}
