package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	controlpb "github.com/muster/muster/proto/control/v1"
)

type removeOptions struct {
	nodes []string
	force bool
}

func newRemoveCommand(env *command.Env) *cobra.Command {
	var opts removeOptions
	cmd := &cobra.Command{
		Use:               "rm [OPTIONS] NODE [NODE...]",
		Aliases:           []string{"remove"},
		Short:             "Remove nodes from the cluster",
		Args:              command.MinArgs(1),
		ValidArgsFunction: command.Complete(env, 0, command.NodeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.nodes = args
			return runRemove(cmd.Context(), env, opts)
		},
	}
	flags.On(cmd.Flags(), &opts.force, "force", "f", "remove a node that is not down; its tasks are replaced")
	return cmd
}

func runRemove(ctx context.Context, env *command.Env, opts removeOptions) error {
	control, err := env.Control()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range opts.nodes {
		if _, err := control.RemoveNode(ctx, &controlpb.RemoveNodeRequest{Node: name, Force: opts.force}); err != nil {
			errs = append(errs, err)
			continue // one bad name must not strand the others
		}
		fmt.Fprintln(env.Out, name)
	}
	return errors.Join(errs...)
}
