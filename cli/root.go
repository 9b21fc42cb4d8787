package cli

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/help"
	"github.com/muster/muster/cli/image"
	"github.com/muster/muster/cli/node"
	"github.com/muster/muster/cli/service"
	"github.com/muster/muster/cli/swarm"
	"github.com/muster/muster/internal/text"
)

// Root returns the muster command. More are commands that live elsewhere,
// such as the daemon.
func Root(env *command.Env, more ...*cobra.Command) *cobra.Command {
	root := command.Group("muster", "Run containers on a cluster",
		swarm.New(env), node.New(env), service.New(env), image.New(env),
		newInfoCommand(env), newVersionCommand(env),
	)
	root.AddCommand(more...)
	root.Version = env.Version
	root.SilenceErrors, root.SilenceUsage = true, true
	// "service create --host NAME:IP" has Docker's meaning, so the global
	// flag of that name is read before the command's own flags are.
	root.TraverseChildren = true
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	addCompletion(root)
	plainUse(root)
	root.SetFlagErrorFunc(command.BadFlag)
	fs := root.PersistentFlags()
	// Both are empty unless given, since the environment comes before the default.
	fs.StringVarP(&env.Host, "host", "H", env.Host, "daemon to connect to: unix:///PATH or tcp://HOST[:PORT] [$MUSTER_HOST]")
	flags.Default(fs.Lookup("host"), command.DefaultHost)
	fs.StringVar(&env.Identity, "identity", env.Identity, "directory of the node certificate to show to a tcp host [$MUSTER_IDENTITY]")
	flags.Default(fs.Lookup("identity"), command.DefaultIdentity)
	help.Install(root, func() int { return help.Width(env.Getenv("COLUMNS"), env.Width) })
	return root
}

// addCompletion adds cobra's commands for the scripts of shells, without that of a
// shell whose users are elsewhere, as a group like others: a word that it does
// not know is refused. They write to the output that root has now.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	theirs, _, err := root.Find([]string{"completion", "bash"})
	if err != nil {
		return // cobra has none
	}
	shells := theirs.Parent().Commands()
	root.RemoveCommand(theirs.Parent())
	theirs.Parent().RemoveCommand(shells...)
	shells = slices.DeleteFunc(slices.Clone(shells), func(c *cobra.Command) bool { return c.Name() == "powershell" })
	root.AddCommand(command.Group("completion", "Write the script that completes words in a shell", shells...))
}

// plainUse keeps cobra from adding "[flags]" to usage lines: those that take
// options say so. Nor does a shell offer files to commands that take none.
func plainUse(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	if cmd.Runnable() && cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, c := range cmd.Commands() {
		plainUse(c)
	}
}

// checkArgs refuses words that no message can hold, before anything is done.
func checkArgs(args []string) error {
	for i, a := range args {
		if !utf8.ValidString(a) {
			return command.Misusef("argument %d, %s, is not valid UTF-8", i+1, text.Quote(a))
		}
	}
	return nil
}

// Run runs the command line args and returns the exit status. What went wrong
// is told on env.Err.
func Run(ctx context.Context, env *command.Env, args []string, more ...*cobra.Command) int {
	out := &command.Output{Writer: env.Out}
	env.Out = out
	root := Root(env, more...) //nolint:contextcheck // commands get theirs from ExecuteContext
	root.SetArgs(args)
	err := checkArgs(args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		err = out.Err()
	}
	if err != nil {
		err = command.Misused("muster", err)
		command.Report(env.Err, err)
	}
	return command.ExitStatus(err)
}
