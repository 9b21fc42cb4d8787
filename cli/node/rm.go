package node

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/noun"
	controlpb "github.com/muster/muster/proto/control/v1"
)

func newRemoveCommand(env *command.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "rm [OPTIONS] NODE [NODE...]",
		Aliases:           []string{"remove"},
		Short:             "Remove nodes from the cluster",
		Args:              command.MinArgs(1),
		ValidArgsFunction: command.Complete(env, 0, command.NodeNames),
	}
	var force bool
	flags.On(cmd.Flags(), &force, "force", "f", "remove a node even if it is not down; its tasks are replaced")
	return noun.Remove[controlpb.NodeServiceClient]{
		Connect: command.Client(env, controlpb.NewNodeServiceClient),
		Remove: func(ctx context.Context, nodes controlpb.NodeServiceClient, name string) ([]string, error) {
			_, err := nodes.RemoveNode(ctx, &controlpb.RemoveNodeRequest{Node: name, Force: force})
			return []string{name}, err
		},
	}.Command(env, cmd)
}
