package render

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
)

// Filters are the values of --filter by key. Values of one key are joined by
// or, keys by and.
type Filters map[string][]string

// FilterFlag defines --filter, which knows the allowed keys only. The note ends its
// help.
func FilterFlag(fs *pflag.FlagSet, note string, allowed ...string) Filters {
	f := make(Filters)
	flags.Repeatable(fs.VarPF(&filterValue{f, allowed}, "filter", "f", "show only what matches KEY=VALUE; keys are "+strings.Join(allowed, ", ")+note))
	return f
}

type filterValue struct {
	filters Filters
	allowed []string
}

// Set reads KEY=VALUE.
func (v *filterValue) Set(s string) error {
	key, value, found := strings.Cut(s, "=")
	key = strings.ToLower(strings.TrimSpace(key))
	if !found || !slices.Contains(v.allowed, key) {
		return command.Misusef("must be KEY=VALUE with one of the keys %s", strings.Join(v.allowed, ", "))
	}
	v.filters[key] = append(v.filters[key], strings.TrimSpace(value))
	return nil
}

// String is empty: there is no default.
func (v *filterValue) String() string { return "" }

// Type is the placeholder in help texts.
func (v *filterValue) Type() string { return "filter" }

// Match reports whether have is one of the values of key, or key is not used.
func (f Filters) Match(key, have string) bool {
	return f.match(key, func(want string) bool { return have == want })
}

// MatchPrefix is Match with the start of have.
func (f Filters) MatchPrefix(key, have string) bool {
	return f.match(key, func(want string) bool { return strings.HasPrefix(have, want) })
}

// MatchLabels reports whether labels have every KEY or KEY=VALUE asked for.
// Unlike other keys, labels are joined by and, as in Docker.
func (f Filters) MatchLabels(key string, labels map[string]string) bool {
	for _, want := range f[key] {
		name, value, hasValue := strings.Cut(want, "=")
		if have, ok := labels[name]; !ok || hasValue && have != value {
			return false
		}
	}
	return true
}

func (f Filters) match(key string, is func(want string) bool) bool {
	return len(f[key]) == 0 || slices.ContainsFunc(f[key], is)
}

// Check refuses values of key other than these.
func (f Filters) Check(key string, allowed ...string) error {
	for _, v := range f[key] {
		if !slices.Contains(allowed, v) {
			return command.Misusef("--filter %q: %s must be one of %s", key+"="+v, key, strings.Join(allowed, ", "))
		}
	}
	return nil
}
