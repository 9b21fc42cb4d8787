package swarm

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

type joinTokenOptions struct {
	role          string
	rotate, quiet bool
}

func newJoinTokenCommand(env *command.Env) *cobra.Command {
	var opts joinTokenOptions
	cmd := &cobra.Command{
		Use:               "join-token [OPTIONS] worker|manager",
		Short:             "Show the token that new nodes join with",
		Args:              command.ExactArgs(1),
		ValidArgsFunction: command.Complete(env, 1, command.Words("worker", "manager")),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.role = args[0]
			return runJoinToken(cmd.Context(), env, opts)
		},
	}
	flags.On(cmd.Flags(), &opts.rotate, "rotate", "", "replace the token with a new one; the old one lets no more nodes join")
	flags.On(cmd.Flags(), &opts.quiet, "quiet", "q", "show only the token")
	return cmd
}

func runJoinToken(ctx context.Context, env *command.Env, opts joinTokenOptions) error {
	var role clusterpb.NodeRole
	switch opts.role {
	case "worker":
		role = clusterpb.NodeRole_NODE_ROLE_WORKER
	case "manager":
		role = clusterpb.NodeRole_NODE_ROLE_MANAGER
	default:
		return command.Misusef("%q: must be worker or manager", opts.role)
	}
	conn, err := env.Control()
	if err != nil {
		return err
	}
	cluster := controlpb.NewClusterServiceClient(conn)
	token, addr, err := joinToken(ctx, cluster, role, opts.rotate)
	if err != nil {
		return err
	}
	if opts.quiet {
		fmt.Fprintln(env.Out, token)
		return nil
	}
	if opts.rotate {
		fmt.Fprintf(env.Out, "The %s token is a new one; the old one is no longer valid.\n\n", opts.role)
	}
	joinHelp(env.Out, opts.role, token, addr)
	return nil
}

// joinToken returns the token of a role, a new one if rotate, and the address
// of a manager to join.
func joinToken(ctx context.Context, cluster controlpb.ClusterServiceClient, role clusterpb.NodeRole, rotate bool) (token, addr string, err error) {
	if rotate {
		r, err := cluster.RotateJoinToken(ctx, &controlpb.RotateJoinTokenRequest{Role: role})
		return r.GetToken(), r.GetAddr(), err
	}
	r, err := cluster.GetJoinToken(ctx, &controlpb.GetJoinTokenRequest{Role: role})
	return r.GetToken(), r.GetAddr(), err
}
