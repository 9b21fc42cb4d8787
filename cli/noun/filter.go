package noun

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/muster/muster/cli/render"
)

// Filter is a key of --filter for objects of type T.
type Filter[T any] struct {
	Key string
	// Begins tells in the help that a value fits what begins with it.
	Begins bool
	// Check refuses values that mean nothing; nil takes all.
	Check func(render.Filters) error
	// Match reports whether an object is shown; nil leaves it to List.Find.
	Match func(render.Filters, T) bool
}

// Prefix filters by how a text begins.
func Prefix[T any](key string, of func(T) string) Filter[T] {
	return Filter[T]{Key: key, Begins: true, Match: func(f render.Filters, t T) bool { return f.MatchPrefix(key, of(t)) }}
}

// Word filters by a text that is one of some.
func Word[T any](key string, of func(T) string, allowed ...string) Filter[T] {
	return Filter[T]{
		Key:   key,
		Check: func(f render.Filters) error { return f.Check(key, allowed...) },
		Match: func(f render.Filters, t T) bool { return f.Match(key, of(t)) },
	}
}

// Labels filters by KEY or KEY=VALUE of a set of labels.
func Labels[T any](key string, of func(T) map[string]string) Filter[T] {
	return Filter[T]{Key: key, Match: func(f render.Filters, t T) bool { return f.MatchLabels(key, of(t)) }}
}

// flag defines --filter, and says in its help which keys there are.
func flag[T any](fs *pflag.FlagSet, filters []Filter[T]) render.Filters {
	var keys, begins []string
	for _, f := range filters {
		keys = append(keys, f.Key)
		if f.Begins {
			begins = append(begins, f.Key)
		}
	}
	note := ""
	if len(begins) > 0 {
		note = "; of " + strings.Join(begins, " and ") + " the beginning is enough"
	}
	return render.FilterFlag(fs, note, keys...)
}

// check finds a value that a filter does not know, before any call.
func check[T any](filters []Filter[T], values render.Filters) error {
	for _, f := range filters {
		if f.Check == nil {
			continue
		}
		if err := f.Check(values); err != nil {
			return err
		}
	}
	return nil
}

func selected[T any](filters []Filter[T], values render.Filters, t T) bool {
	for _, f := range filters {
		if f.Match != nil && !f.Match(values, t) {
			return false
		}
	}
	return true
}
