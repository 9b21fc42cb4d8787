package command

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
)

func TestNumberOfArguments(t *testing.T) {
	tests := map[string]struct {
		args cobra.PositionalArgs
		most int    // given with success
		few  string // what is said of too few, and of too many
		many string
	}{
		"none":        {NoArgs, 0, "", `"thing" takes no argument, got "a1"; usage: thing ARG...`},
		"exactly one": {ExactArgs(1), 1, `"thing" needs 1 argument, got 0; usage: thing ARG...`, `"thing" needs 1 argument, got 2; usage: thing ARG...`},
		"exactly two": {ExactArgs(2), 2, `"thing" needs 2 arguments, got 1; usage: thing ARG...`, `"thing" needs 2 arguments, got 3; usage: thing ARG...`},
		"one or more": {MinArgs(1), 1, `"thing" needs at least 1 argument, got 0; usage: thing ARG...`, ""},
		"at most one": {MaxArgs(1), 1, "", `"thing" takes at most 1 argument, got 2; usage: thing ARG...`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := &cobra.Command{Use: "thing ARG..."}
			args := []string{"a1", "a2", "a3"}
			for n, want := range map[int]string{tt.most - 1: tt.few, tt.most: "", tt.most + 1: tt.many} {
				if n < 0 {
					continue
				}
				err := tt.args(cmd, args[:n])
				if want == "" && err != nil || want != "" && (err == nil || err.Error() != want || ExitStatus(err) != ExitMisuse) {
					t.Errorf("%d arguments: %v, want %q as a misuse", n, err, want)
				}
			}
		})
	}
}

// A misspelt command is a failure that says what was meant, not a page of help.
func TestGroup(t *testing.T) {
	noop := func(*cobra.Command, []string) error { return nil }
	tests := map[string]struct {
		args   []string
		err    string
		output string // part of it
	}{
		"alone it helps":     {nil, "", "Manage things"},
		"a command":          {[]string{"create"}, "", ""},
		"one misspelt":       {[]string{"craete"}, `unknown command "thing craete", did you mean "create"?; see "thing --help"`, ""},
		"one that is nearer": {[]string{"l"}, `unknown command "thing l", did you mean "ls" or "logs"?; see "thing --help"`, ""},
		"one far away":       {[]string{"xylophone"}, `unknown command "thing xylophone"; see "thing --help"`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			group := Group("thing", "Manage things", &cobra.Command{Use: "create", RunE: noop}, &cobra.Command{Use: "ls", RunE: noop}, &cobra.Command{Use: "logs", RunE: noop})
			group.SilenceErrors, group.SilenceUsage = true, true
			var out bytes.Buffer
			group.SetOut(&out)
			group.SetArgs(append([]string{}, tt.args...))
			err := group.Execute()
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || err.Error() != tt.err || ExitStatus(err) != ExitMisuse) {
				t.Errorf("error %v, want %q as a misuse", err, tt.err)
			}
			if !strings.Contains(out.String(), tt.output) || tt.err != "" && out.Len() > 0 {
				t.Errorf("output %q, want %q", out.String(), tt.output)
			}
		})
	}
}

func TestCompletion(t *testing.T) {
	names := func(context.Context, *Env) ([]string, error) {
		return []string{"web", "db", "web", "", "worker"}, nil
	}
	away := func(context.Context, *Env) ([]string, error) { return []string{"web"}, errors.New("no daemon") }
	tests := map[string]struct {
		most  int
		list  func(context.Context, *Env) ([]string, error)
		args  []string
		begun string
		want  []string
	}{
		"all, each once":          {0, names, nil, "", []string{"db", "web", "worker"}},
		"what was begun":          {0, names, nil, "w", []string{"web", "worker"}},
		"not what is there":       {0, names, []string{"web"}, "w", []string{"worker"}},
		"the last that may be":    {2, names, []string{"web"}, "", []string{"db", "worker"}},
		"no more than may be":     {1, names, []string{"web"}, "", nil},
		"no daemon, no names":     {0, away, nil, "", nil},
		"words that are the same": {0, Words("yes", "no"), nil, "y", []string{"yes"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := &cobra.Command{}
			cmd.SetContext(t.Context())
			got, how := Complete(&Env{}, tt.most, tt.list)(cmd, tt.args, tt.begun)
			if !slices.Equal(got, tt.want) || how != cobra.ShellCompDirectiveNoFileComp {
				t.Errorf("offered %q (%d), want %q and no files", got, how, tt.want)
			}
		})
	}
}

// Whoever presses Tab does not wait for a daemon that hangs.
func TestCompletionIsGivenUpSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env, cmd, start := &Env{}, &cobra.Command{}, time.Now()
		cmd.SetContext(t.Context())
		hangs := func(ctx context.Context, env *Env) ([]string, error) {
			if env.Patience != completeTimeout {
				t.Errorf("the daemon is waited for up to %s", env.Patience)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if got, _ := Complete(env, 0, hangs)(cmd, nil, ""); len(got) > 0 || time.Since(start) != completeTimeout {
			t.Errorf("offered %q after %s", got, time.Since(start))
		}
	})
}

// Words given to two completions are theirs: sorting one changes no other.
func TestWordsAreCopied(t *testing.T) {
	list := Words("b", "a")
	first, _ := list(t.Context(), nil)
	slices.Sort(first)
	if second, _ := list(t.Context(), nil); !slices.Equal(second, []string{"b", "a"}) {
		t.Errorf("the second time %q", second)
	}
}

func TestWhichDaemonIsMeant(t *testing.T) {
	tests := map[string]struct{ host, env, want string }{
		"the flag":        {"tcp://192.0.2.1", "tcp://192.0.2.2", "tcp://192.0.2.1:2377"},
		"the environment": {"", "tcp://192.0.2.2:2400", "tcp://192.0.2.2:2400"},
		"neither":         {"", "", DefaultHost},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			env := &Env{Host: tt.host, LookupEnv: func(k string) (string, bool) { return tt.env, k == "MUSTER_HOST" && tt.env != "" }}
			if got, err := (&link{env: env}).endpoint(); err != nil || got.String() != tt.want {
				t.Errorf("%s, %v, want %s", got, err, tt.want)
			}
		})
	}
	if got := (&Env{}).Getenv("MUSTER_HOST"); got != "" {
		t.Errorf("an environment without variables has %q", got)
	}
}
