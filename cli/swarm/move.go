package swarm

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	nodepb "github.com/muster/muster/proto/node/v1"
)

func newMoveCommand(env *command.Env) *cobra.Command {
	r := new(nodepb.MoveNodeRequest)
	cmd := &cobra.Command{
		Use:   "move [OPTIONS]",
		Short: "Make this node known at another address",
		Long: `Make this node known at another address, such as after its machine got a new one. Run it on the node that has moved. Tasks run on, and what they are connected to by a published port stays connected where the old address does.

Of several managers one after the other can move, as long as a majority is where the others know it. A node that knows no manager at its present address needs --remote-addr.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runMove(cmd.Context(), env, r)
		},
	}
	fs := cmd.Flags()
	flags.Default(flags.Var(fs, "advertise-addr", "", "address at which other nodes reach this one", nodeAddr(), flags.Into(&r.AdvertiseAddr)), "the only one of this host")
	flags.Var(fs, "listen-addr", "", "address to listen on (default as before)", nodeAddr(), flags.Into(&r.ListenAddr))
	flags.Var(fs, "data-path-addr", "", "address for the traffic between tasks (default that of --advertise-addr)", dataPathAddr(), flags.Into(&r.DataPathAddr))
	flags.Var(fs, "remote-addr", "", "HOST[:PORT] of a manager, for a node that knows none where it is now", flags.Text, flags.Into(&r.RemoteAddr))
	return cmd
}

func runMove(ctx context.Context, env *command.Env, r *nodepb.MoveNodeRequest) error {
	if remote := r.GetRemoteAddr(); remote != "" && !isRemote(remote) {
		return command.Misusef("--remote-addr %q: must be HOST[:PORT] of a manager, such as 192.0.2.1:2377", remote)
	}
	local, err := env.Local()
	if err != nil {
		return err
	}
	answer, err := local.MoveNode(ctx, r)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Out, "This node is now at %s.\n", answer.GetAddr())
	return nil
}
