package swarm

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	nodepb "github.com/muster/muster/proto/node/v1"
)

func newLeaveCommand(env *command.Env) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "leave [OPTIONS]",
		Short: "Take this node out of its cluster",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runLeave(cmd.Context(), env, force)
		},
	}
	flags.On(cmd.Flags(), &force, "force", "f", "leave though this node is a manager, or no manager answers")
	return cmd
}

func runLeave(ctx context.Context, env *command.Env, force bool) error {
	local, err := env.Local()
	if err != nil {
		return err
	}
	if _, err := local.LeaveCluster(ctx, &nodepb.LeaveClusterRequest{Force: force}); err != nil {
		return err
	}
	fmt.Fprintln(env.Out, "This node has left the cluster.")
	return nil
}
