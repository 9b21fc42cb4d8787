package noun

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
)

// fruit is a kind of object, orchard what keeps them.
type fruit struct {
	ID, Name, Colour string
}

type orchard map[string]fruit

func (o orchard) get(name string) (fruit, error) {
	f, ok := o[name]
	if !ok {
		return f, fmt.Errorf("no fruit %q: %w", name, errdefs.ErrNotFound)
	}
	return f, nil
}

func connect() (orchard, error) {
	return orchard{"pear": {"p1", "pear", "green"}, "apple": {"a1", "apple", "red"}}, nil
}

// run runs a command line and returns what it wrote.
func run(t *testing.T, cmd *cobra.Command, env *command.Env, args ...string) (string, error) {
	t.Helper()
	out := new(bytes.Buffer)
	env.Out, env.Now = out, time.Now
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func listFruit(env *command.Env, find func(context.Context, orchard, []string, render.Filters) ([]fruit, error)) *cobra.Command {
	return List[orchard, fruit]{
		Connect: connect,
		Table:   func() render.Table { return render.Table{{Field: "ID", Header: "ID"}, {Field: "Name", Header: "NAME"}} },
		Filters: []Filter[fruit]{
			Prefix("name", func(f fruit) string { return f.Name }),
			Word("colour", func(f fruit) string { return f.Colour }, "red", "green"),
		},
		Find:    find,
		Compare: func(a, b fruit) int { return cmp.Compare(a.Name, b.Name) },
		Rows:    Each(func(f fruit) render.Row { return render.Row{"ID": f.ID, "Name": f.Name} }),
	}.Command(env, &cobra.Command{Use: "ls"})
}

func TestList(t *testing.T) {
	all := func(_ context.Context, o orchard, _ []string, _ render.Filters) (list []fruit, err error) {
		for _, f := range o {
			list = append(list, f)
		}
		return list, nil
	}
	tests := map[string]struct {
		args []string
		want string
	}{
		"sorted":       {[]string{"--format", "{{.Name}}"}, "apple\npear\n"},
		"quiet":        {[]string{"-q"}, "a1\np1\n"},
		"by name":      {[]string{"-q", "-f", "name=pe"}, "p1\n"},
		"by colour":    {[]string{"-q", "-f", "colour=red"}, "a1\n"},
		"by both":      {[]string{"-q", "-f", "colour=red", "-f", "name=pe"}, ""},
		"as a table":   {[]string{"-f", "name=a"}, "ID        NAME\na1        apple\n"},
		"none of them": {[]string{"-f", "name=x"}, "ID        NAME\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			env := new(command.Env)
			if got, err := run(t, listFruit(env, all), env, tt.args...); got != tt.want || err != nil {
				t.Errorf("output = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestListRefusesBeforeItAsks(t *testing.T) {
	for _, args := range [][]string{{"-f", "colour=blue"}, {"-f", "taste=sweet"}, {"--format", "{{.Taste}}"}} {
		env, asked := new(command.Env), false
		out, err := run(t, listFruit(env, func(context.Context, orchard, []string, render.Filters) ([]fruit, error) {
			asked = true
			return nil, nil
		}), env, args...)
		if err == nil || asked || out != "" {
			t.Errorf("%q: %v, %q, asked %v", args, err, out, asked)
		}
	}
}

// TestFilterHelp: a key that is satisfied by a beginning says so.
func TestFilterHelp(t *testing.T) {
	const want = "keys are name, colour; of name the beginning is enough (repeatable)"
	if usage := listFruit(new(command.Env), nil).Flags().Lookup("filter").Usage; !strings.HasSuffix(usage, want) {
		t.Errorf("help %q, want %q at its end", usage, want)
	}
}

// TestListShowsWhatThereIs tells a list that is partly found from none.
func TestListShowsWhatThereIs(t *testing.T) {
	broken := errors.New("broken")
	for want, found := range map[string][]fruit{"": nil, "ID        NAME\n": {}, "ID        NAME\na1        apple\n": {{ID: "a1", Name: "apple"}}} {
		env := new(command.Env)
		out, err := run(t, listFruit(env, func(context.Context, orchard, []string, render.Filters) ([]fruit, error) {
			return found, broken
		}), env)
		if !errors.Is(err, broken) || out != want {
			t.Errorf("%v: %q, %v, want %q and the error", found, out, err, want)
		}
	}
}

func TestInspect(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
		errs int // names that are not found
	}{
		"one":            {[]string{"-f", "{{.Colour}}", "pear"}, "green\n", 0},
		"some not there": {[]string{"-f", "{{.ID}}", "plum", "pear", "fig", "apple"}, "p1\na1\n", 2},
		"none there":     {[]string{"plum"}, "[]\n", 1},
		"for people":     {[]string{"--pretty", "fig", "pear", "apple"}, "Name: pear\n\nName: apple\n", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			env := new(command.Env)
			cmd := Inspect[orchard, fruit]{
				Connect: connect,
				Get:     func(_ context.Context, o orchard, name string) (fruit, error) { return o.get(name) },
				Shape:   func(f fruit) any { return f },
				Pretty:  func(w io.Writer, f fruit, _ time.Time) { fmt.Fprintln(w, "Name:", f.Name) },
			}.Command(env, &cobra.Command{Use: "inspect"})
			out, err := run(t, cmd, env, tt.args...)
			if out != tt.want || errdefs.IsNotFound(err) != (tt.errs > 0) {
				t.Errorf("output = %q, %v, want %q", out, err, tt.want)
			}
			if err != nil && strings.Count(err.Error(), "not found") != tt.errs {
				t.Errorf("error = %v, want %d names", err, tt.errs)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	env := new(command.Env)
	cmd := Remove[orchard]{
		Connect: connect,
		Remove: func(_ context.Context, o orchard, name string) ([]string, error) {
			_, err := o.get(name)
			return []string{name}, err
		},
	}.Command(env, &cobra.Command{Use: "rm"})
	if out, err := run(t, cmd, env, "pear", "fig", "apple"); out != "pear\napple\n" || !errdefs.IsNotFound(err) {
		t.Errorf("output = %q, %v, want those that are there, and an error", out, err)
	}
}

func TestConnectionThatCannotBeMade(t *testing.T) {
	refused := errors.New("refused")
	env := new(command.Env)
	cmd := Remove[orchard]{Connect: func() (orchard, error) { return nil, refused }}.Command(env, &cobra.Command{Use: "rm"})
	if _, err := run(t, cmd, env, "pear", "apple"); err != refused { //nolint:errorlint // once, not once a name
		t.Errorf("error = %v, want %v once", err, refused)
	}
}

func TestUpdate(t *testing.T) {
	lasting := errors.New("lasting")
	tests := map[string]struct {
		outcomes []error // of writes; the last one goes on
		writes   int
		want     error
	}{
		"at once":          {[]error{nil}, 1, nil},
		"after a conflict": {[]error{errdefs.ErrConflict, nil}, 2, nil},
		"never":            {[]error{errdefs.ErrConflict}, maxConflicts, errdefs.ErrConflict},
		"another error":    {[]error{lasting}, 1, lasting},
		"after many":       {append(slices.Repeat([]error{errdefs.ErrConflict}, 12), nil), 13, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				version, writes := 0, 0
				err := Update(t.Context(), func() (int, error) { version++; return version, nil }, func(v int) error {
					if v != version {
						t.Errorf("written from %d, read %d last", v, version)
					}
					writes++
					return tt.outcomes[min(writes, len(tt.outcomes))-1]
				})
				if !errors.Is(err, tt.want) || writes != tt.writes {
					t.Errorf("%v after %d writes, want %v after %d", err, writes, tt.want, tt.writes)
				}
			})
		})
	}
	if err := Update(t.Context(), func() (int, error) { return 0, lasting }, func(int) error { t.Error("written"); return nil }); !errors.Is(err, lasting) {
		t.Errorf("what cannot be read: %v", err)
	}
}
