package command

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// NoArgs refuses arguments.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Misusef("%q takes no argument, got %q; usage: %s", cmd.CommandPath(), args[0], cmd.UseLine())
	}
	return nil
}

// ExactArgs wants n arguments.
func ExactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return Misusef("%q needs %s, got %d; usage: %s", cmd.CommandPath(), count(n), len(args), cmd.UseLine())
		}
		return nil
	}
}

// MinArgs wants n arguments or more.
func MinArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return Misusef("%q needs at least %s, got %d; usage: %s", cmd.CommandPath(), count(n), len(args), cmd.UseLine())
		}
		return nil
	}
}

// MaxArgs wants at most n arguments.
func MaxArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return Misusef("%q takes at most %s, got %d; usage: %s", cmd.CommandPath(), count(n), len(args), cmd.UseLine())
		}
		return nil
	}
}

func count(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return strconv.Itoa(n) + " arguments"
}

// Group returns a command that only holds others.
func Group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		// Without a RunE cobra would print the help of a group for a misspelt
		// command and report success.
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknown(cmd, args[0])
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(commands...)
	return cmd
}

func unknown(cmd *cobra.Command, name string) error {
	hint := ""
	if near := suggestions(cmd, name); len(near) > 0 {
		hint = fmt.Sprintf(`, did you mean "%s"?`, strings.Join(near, `" or "`))
	} else if missing, ok := gap(cmd, name); ok {
		hint = ": " + missing
	}
	return Misusef("unknown command %q%s; see %q", cmd.CommandPath()+" "+name, hint, cmd.CommandPath()+" --help")
}

// suggestions are what may be meant: nothing like a word that Docker has.
func suggestions(cmd *cobra.Command, name string) []string {
	if path, ok := short[name]; ok && !cmd.HasParent() {
		return []string{path}
	}
	if _, ok := gap(cmd, name); ok {
		return nil
	}
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return near
	}
	return elsewhere(cmd, name)
}

// elsewhere finds name one level below: Docker has short forms such as "ps".
func elsewhere(cmd *cobra.Command, name string) (paths []string) {
	for _, group := range cmd.Commands() {
		for _, c := range group.Commands() {
			if !c.Hidden && (c.Name() == name || c.HasAlias(name)) {
				paths = append(paths, c.CommandPath())
			}
		}
	}
	return paths
}

// BadFlag is FlagError, but where the word before the flag names no command of
// a group, that is what is wrong.
func BadFlag(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
		return unknown(cmd, words[0])
	}
	return FlagError(cmd.CommandPath(), err)
}
