package help

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/flags"
)

func TestWidth(t *testing.T) {
	tests := map[string]struct {
		columns  string
		terminal int
		want     int
	}{
		"a pipe":                {"", 0, 80},
		"a terminal":            {"", 132, 132},
		"COLUMNS before it":     {"100", 132, 100},
		"COLUMNS that is none":  {"wide", 132, 132},
		"COLUMNS of nothing":    {"0", 0, 80},
		"too narrow to read in": {"12", 0, narrowest},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Width(tt.columns, tt.terminal); got != tt.want {
				t.Errorf("Width(%q, %d) = %d, want %d", tt.columns, tt.terminal, got, tt.want)
			}
		})
	}
}

func TestWrapText(t *testing.T) {
	got := wrapText("One two three\nfour five.\n\nTable:\n  as it is, though it is wide\n", 12)
	if want := "One two\nthree four\nfive.\n\nTable:\n  as it is, though it is wide"; got != want {
		t.Errorf("wrapped:\n%s\nwant:\n%s", got, want)
	}
}

// TestLayout has what a command can have: aliases, groups, global options.
func TestLayout(t *testing.T) {
	root := &cobra.Command{Use: "root", Short: "Do things"}
	flags.Default(flags.Var(root.PersistentFlags(), "speed", "", "how fast to go", flags.Count, func(uint32) {}), "3")
	sub := &cobra.Command{Use: "sub ARG", Aliases: []string{"under"}, Short: "Do one thing", Run: func(*cobra.Command, []string) {}}
	sub.DisableFlagsInUseLine = true
	sub.Flags().SortFlags = false
	Group(flags.Var(sub.Flags(), "zeal", "", "of a group", flags.Text, func(string) {}), "spirit")
	Group(flags.Var(sub.Flags(), "ardour", "", "of the same group", flags.Text, func(string) {}), "spirit")
	Group(flags.Var(sub.Flags(), "cost", "", "of another", flags.Text, func(string) {}), "money")
	flags.Repeatable(flags.Var(sub.Flags(), "name", "n", "of none", flags.Text, func(string) {}))
	root.AddCommand(sub)
	Install(root, func() int { return 80 })

	var out strings.Builder
	root.SetOut(&out)
	root.SetArgs([]string{"sub", "--help"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	want := `Usage: root sub ARG
Also called: under

Do one thing.

Options:
  -n, --name string   of none (repeatable)

Spirit options:
      --ardour string   of the same group
      --zeal string     of a group

Money options:
      --cost string   of another

Global options:
  -h, --help         show help about a command
      --speed uint   how fast to go (default 3)
`
	if out.String() != want {
		t.Errorf("help:\n%s\nwant:\n%s", out.String(), want)
	}
	out.Reset()
	root.SetArgs([]string{"--help"})
	if err := root.Execute(); err != nil || !strings.Contains(out.String(), "\nCommands:\n") || !strings.Contains(out.String(), "  sub          Do one thing\n") {
		t.Errorf("help of the root, %v:\n%s", err, out.String())
	}
}
