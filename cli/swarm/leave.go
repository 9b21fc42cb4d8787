package swarm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// leaveQuiet is how long a leave takes before it says what it waits for.
const leaveQuiet = 3 * time.Second

func newLeaveCommand(env *command.Env) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "leave [OPTIONS]",
		Short: "Remove this node from its cluster",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runLeave(cmd.Context(), env, force)
		},
	}
	flags.On(cmd.Flags(), &force, "force", "f", "leave without moving tasks to other nodes first, even as the last manager or when no manager answers")
	return cmd
}

func runLeave(ctx context.Context, env *command.Env, force bool) error {
	local, err := env.Local()
	if err != nil {
		return err
	}
	left := make(chan error, 1)
	go func() {
		_, err := local.LeaveCluster(ctx, &nodepb.LeaveClusterRequest{Force: force})
		left <- err
	}()
	select {
	case err = <-left:
	case <-time.After(leaveQuiet):
		if !force {
			fmt.Fprintln(env.Err, "muster: waiting for this node's tasks to run elsewhere, two minutes at most; --force does not wait")
		}
		err = <-left
	}
	if err != nil && ctx.Err() != nil {
		return &command.StatusError{Status: command.ExitInterrupted, Err: errors.New(
			"interrupted: \"muster info\" tells whether this node is still a member; if it is, it may be drained, which \"muster node update --availability active\" ends")}
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Out, "This node has left the cluster.")
	return nil
}
