package cli_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/cli"
	"github.com/muster/muster/cli/clitest"
	"github.com/muster/muster/cli/command"
)

// TestGaps: what is said not to be there yet is not there, and is told apart
// from a typing error.
func TestGaps(t *testing.T) {
	commands, flags := command.Gaps()
	for _, c := range commands {
		words := strings.Fields(c)
		r := clitest.Nobody().Run(t, append(words, "-x", "y")...)
		if r.Status != command.ExitMisuse || !strings.HasPrefix(r.Err, `muster: unknown command "muster `+c+`"`) || !strings.Contains(r.Err, "does not have it yet") {
			t.Errorf("%s: exit status %d, %q", c, r.Status, r.Err)
		}
	}
	root := cli.Root(&command.Env{})
	for c, names := range flags {
		cmd, _, err := root.Find(strings.Fields(c))
		if err != nil || strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "muster")) != c {
			t.Errorf("there is no command %q: %v", c, err)
			continue
		}
		for _, name := range names {
			if cmd.Flags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil {
				t.Errorf("%s has --%s", c, name)
			}
			r := clitest.Nobody().Run(t, slices.Concat(strings.Fields(c), []string{"--" + name, "x", "y"})...)
			if r.Status != command.ExitMisuse || !strings.HasPrefix(r.Err, "muster: unknown flag: --"+name+": it is Docker's") {
				t.Errorf("%s --%s: exit status %d, %q", c, name, r.Status, r.Err)
			}
		}
	}
}
