package swarm

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/jointoken"
	nodepb "github.com/muster/muster/proto/node/v1"
)

func newJoinCommand(env *command.Env) *cobra.Command {
	r := new(nodepb.JoinClusterRequest)
	cmd := &cobra.Command{
		Use:   "join [OPTIONS] HOST[:PORT]",
		Short: "Join this node to a cluster",
		Args:  command.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.RemoteAddr = args[0]
			return runJoin(cmd.Context(), env, r)
		},
	}
	fs := cmd.Flags()
	flags.Var(fs, "token", "", "join token, as \"muster swarm join-token\" prints it; it decides on the role", flags.Text, flags.Into(&r.Token))
	flags.Var(fs, "advertise-addr", "", "address at which other nodes reach this one (default the one that leads to HOST)", nodeAddr(), flags.Into(&r.AdvertiseAddr))
	flags.Default(flags.Var(fs, "listen-addr", "", "address to listen on", nodeAddr(), flags.Into(&r.ListenAddr)), "0.0.0.0:2377")
	flags.Var(fs, "data-path-addr", "", "address for the traffic between tasks (default that of --advertise-addr)", dataPathAddr(), flags.Into(&r.DataPathAddr))
	flags.Default(flags.Var(fs, "availability", "", "active, pause or drain", flags.Availability, flags.Into(&r.Availability)), "active")
	command.CompleteFlag(cmd, "availability", flags.Availabilities()...)
	return cmd
}

func runJoin(ctx context.Context, env *command.Env, r *nodepb.JoinClusterRequest) error {
	if r.GetToken() == "" {
		return command.Misusef("--token is missing: \"muster swarm join-token worker\" on a manager prints one")
	}
	if _, err := jointoken.Parse(r.GetToken()); err != nil {
		return err // its text keeps the secret to itself
	}
	if !isRemote(r.GetRemoteAddr()) {
		return command.Misusef("%q: must be HOST[:PORT] of a manager, such as 192.0.2.1:2377", r.GetRemoteAddr())
	}
	local, err := env.Local()
	if err != nil {
		return err
	}
	answer, err := local.JoinCluster(ctx, r)
	if err != nil {
		return err
	}
	role := "worker"
	if answer.GetRole() == clusterpb.NodeRole_NODE_ROLE_MANAGER {
		role = "manager"
	}
	fmt.Fprintf(env.Out, "This node joined the cluster as a %s: %s\n", role, answer.GetNodeId())
	return nil
}
