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
		Short: "Make this node a member of a cluster",
		Args:  command.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.RemoteAddr = args[0]
			return runJoin(cmd.Context(), env, r)
		},
	}
	fs := cmd.Flags()
	flags.Var(fs, "token", "", "join token, as \"muster swarm join-token\" prints it; it decides about worker or manager", flags.Text, flags.Into(&r.Token))
	flags.Var(fs, "advertise-addr", "", "address that other nodes reach this one at; the one that leads to HOST by default", nodeAddr(), flags.Into(&r.AdvertiseAddr))
	flags.Var(fs, "listen-addr", "", "address to listen on; 0.0.0.0:2377 by default", nodeAddr(), flags.Into(&r.ListenAddr))
	flags.Var(fs, "data-path-addr", "", "address for the traffic between tasks; --advertise-addr by default", dataPathAddr(), flags.Into(&r.DataPathAddr))
	flags.Var(fs, "availability", "", "active (default), pause or drain", flags.Availability, flags.Into(&r.Availability))
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
