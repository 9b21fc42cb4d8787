package swarm

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/proto/spec"
)

type initOptions struct {
	request  nodepb.InitClusterRequest
	settings settings
}

func newInitCommand(env *command.Env) *cobra.Command {
	opts := new(initOptions)
	cmd := &cobra.Command{
		Use:   "init [OPTIONS]",
		Short: "Create a cluster with this node as its first manager",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runInit(cmd.Context(), env, opts)
		},
	}
	fs, r := cmd.Flags(), &opts.request
	flags.Var(fs, "advertise-addr", "", "address at which other nodes reach this one (default this machine's only address)", nodeAddr(), flags.Into(&r.AdvertiseAddr))
	flags.Default(flags.Var(fs, "listen-addr", "", "address to listen on", nodeAddr(), flags.Into(&r.ListenAddr)), "0.0.0.0:2377")
	flags.Var(fs, "data-path-addr", "", "address for the traffic between tasks (default that of --advertise-addr)", dataPathAddr(), flags.Into(&r.DataPathAddr))
	flags.Default(flags.Var(fs, "data-path-port", "", "UDP port for the traffic between tasks, the same on all nodes", dataPathPort(), flags.Into(&r.DataPathPort)), "4789")
	flags.Default(flags.Var(fs, "default-addr-pool", "", "network from which tasks get their addresses", addrPool(), flags.Into(&r.DefaultAddrPool)), spec.DefaultAddrPool)
	flags.Default(flags.Var(fs, "availability", "", "active, pause or drain", flags.Availability, flags.Into(&r.Availability)), "active")
	command.CompleteFlag(cmd, "availability", flags.Availabilities()...)
	flags.On(fs, &r.ForceNewCluster, "force-new-cluster", "", "keep the state on this manager's disk and drop all other managers; use it when they are lost for good")
	opts.settings.addFlags(fs)
	settingsByDefault(fs)
	return cmd
}

func runInit(ctx context.Context, env *command.Env, opts *initOptions) error {
	opts.request.Spec = new(clusterpb.ClusterSpec)
	opts.settings.apply(opts.request.Spec)
	if err := spec.ValidateCluster(opts.request.GetSpec()); err != nil {
		return err
	}
	local, err := env.Local()
	if err != nil {
		return err
	}
	r, err := local.InitCluster(ctx, &opts.request)
	if err != nil {
		return err
	}
	if opts.request.GetForceNewCluster() {
		fmt.Fprintf(env.Out, "The cluster continues with node %s as its only manager. Remove the lost ones with \"muster node rm --force\";\n"+
			"those that come back can join again after \"muster swarm leave --force\".\n\n", r.GetNodeId())
	} else {
		fmt.Fprintf(env.Out, "Created a cluster with node %s as its first manager.\n\n", r.GetNodeId())
	}
	joinHelp(env.Out, "worker", r.GetWorkerToken(), r.GetControlAddr())
	fmt.Fprintln(env.Out, "To add a manager, run \"muster swarm join-token manager\" and follow what it says.")
	return nil
}

// joinHelp prints the command that adds a node.
func joinHelp(w io.Writer, role, token, addr string) {
	fmt.Fprintf(w, "To add a %s to this cluster, run on its machine:\n\n    muster swarm join --token %s %s\n\n", role, token, addr)
}
