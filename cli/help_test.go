package cli_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/muster/muster/cli"
	"github.com/muster/muster/cli/clitest"
	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/internal/goldentest"
)

// helpAt is what a command line prints at a width.
func helpAt(t *testing.T, width int, args ...string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	env := testEnv(&out, &stderr)
	env.LookupEnv = func(name string) (string, bool) { return fmt.Sprint(width), name == "COLUMNS" }
	if status := cli.Run(t.Context(), env, args); status != command.ExitOK || stderr.Len() > 0 {
		t.Fatalf("%q: exit status %d: %s", args, status, stderr.String())
	}
	return out.String()
}

func TestHelpOfServiceCreate(t *testing.T) {
	for _, width := range []int{80, 120} {
		goldentest.Compare(t, fmt.Sprintf("help/service-create-%d.txt", width), helpAt(t, width, "service", "create", "--help"))
	}
}

func TestHelpKeepsTheWidth(t *testing.T) {
	everything(cli.Root(testEnv(new(bytes.Buffer), new(bytes.Buffer))), func(cmd *cobra.Command) {
		if cmd.Name() == "help" || within(cmd, "completion") {
			return // cobra's own texts
		}
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		for line := range strings.Lines(helpAt(t, 80, args...)) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 && !strings.HasPrefix(line, "Usage: ") {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
	})
}

func within(cmd *cobra.Command, name string) bool {
	return cmd != nil && (cmd.Name() == name || within(cmd.Parent(), name))
}

// TestHelpTellsDefaultsInOneStyle: as "(default X)" at the end of the text.
func TestHelpTellsDefaultsInOneStyle(t *testing.T) {
	everything(cli.Root(testEnv(new(bytes.Buffer), new(bytes.Buffer))), func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			before, _, _ := strings.Cut(f.Usage, "(default ")
			if strings.Contains(before, "default") {
				t.Errorf("%s --%s: %q", cmd.CommandPath(), f.Name, f.Usage)
			}
		})
	})
}

// TestHelpOfWhoWaits: a wait can end in more than one way, so a command that
// limits it says by which status.
func TestHelpOfWhoWaits(t *testing.T) {
	waits := 0
	everything(cli.Root(testEnv(new(bytes.Buffer), new(bytes.Buffer))), func(cmd *cobra.Command) {
		if cmd.Flags().Lookup("timeout") == nil {
			return
		}
		waits++
		out := helpAt(t, 80, append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if !strings.Contains(out, fmt.Sprintf("\n    %d  ", command.ExitTimeout)) {
			t.Errorf("%s does not say what its exit statuses are:\n%s", cmd.CommandPath(), out)
		}
	})
	if waits == 0 {
		t.Error("no command has a --timeout")
	}
}

// Only commands that wait for a rollout have the statuses of one, and those
// that take options say so.
func TestHelpOfRolloutVerbs(t *testing.T) {
	for verb, waits := range map[string]bool{"pause": false, "resume": true, "promote": true, "restart": true} {
		r := clitest.Nobody().Run(t, "service", verb, "--help")
		if strings.Contains(r.Out, "Exit status:") != waits || strings.Contains(r.Out, verb+" [OPTIONS] SERVICE") != waits {
			t.Errorf("%s --help:\n%s", verb, r.Out)
		}
	}
}
