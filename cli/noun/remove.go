package noun

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
)

// Remove is how objects are removed with a client C.
type Remove[C any] struct {
	// Connect returns the client.
	Connect func() (C, error)
	// Remove removes what the user calls name and returns the lines that tell so.
	Remove func(ctx context.Context, client C, name string) ([]string, error)
}

// Command completes cmd, which has its names, texts and arguments, and any
// flags of its own.
func (r Remove[C]) Command(env *command.Env, cmd *cobra.Command) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := r.Connect()
		if err != nil {
			return err
		}
		return ForEach(args, func(name string) error {
			lines, err := r.Remove(cmd.Context(), client, name)
			if err != nil {
				return err
			}
			for _, line := range lines {
				fmt.Fprintln(env.Out, line)
			}
			return nil
		})
	}
	return cmd
}
