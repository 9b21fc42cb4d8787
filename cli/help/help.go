package help

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/muster/muster/cli/flags"
)

// Install makes root and all commands below it show their help in our layout,
// at most width columns wide. Call it when root has all its commands.
func Install(root *cobra.Command, width func() int) {
	flags.On(root.PersistentFlags(), new(bool), "help", "h", "show help about a command") // cobra would describe it its own way
	if root.Version != "" {
		flags.On(root.Flags(), new(bool), "version", "v", "show the version of this program")
	}
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { write(cmd.OutOrStdout(), cmd, width()) })
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		write(cmd.OutOrStderr(), cmd, width())
		return nil
	})
}

func write(w io.Writer, cmd *cobra.Command, width int) {
	fmt.Fprintf(w, "Usage: %s\n", useLine(cmd))
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(w, "Also called: %s\n", strings.Join(cmd.Aliases, ", "))
	}
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	fmt.Fprintf(w, "\n%s\n", wrapText(about, width))
	writeCommands(w, cmd)
	for _, g := range groups(cmd.LocalFlags()) {
		writeFlags(w, strings.TrimSpace(g.heading+" options"), g.flags, width)
	}
	writeFlags(w, "global options", cmd.InheritedFlags(), width)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nSee \"%s COMMAND --help\" for more about a command.\n", cmd.CommandPath())
	}
}

func useLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND"
	}
	return cmd.UseLine()
}

func writeCommands(w io.Writer, cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	fmt.Fprintf(w, "\nCommands:\n")
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			fmt.Fprintf(w, "  %-*s  %s\n", c.NamePadding(), c.Name(), c.Short)
		}
	}
}

func writeFlags(w io.Writer, heading string, fs *pflag.FlagSet, width int) {
	if fs.HasAvailableFlags() {
		fmt.Fprintf(w, "\n%s:\n", strings.ToUpper(heading[:1])+heading[1:])
		for line := range strings.Lines(fs.FlagUsagesWrapped(width)) {
			fmt.Fprintln(w, strings.TrimRight(line, " \n"))
		}
	}
}
