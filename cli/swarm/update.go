package swarm

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/noun"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/spec"
)

func newUpdateCommand(env *command.Env) *cobra.Command {
	var changes settings
	cmd := &cobra.Command{
		Use:   "update [OPTIONS]",
		Short: "Change the settings of the cluster",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runUpdate(cmd.Context(), env, changes)
		},
	}
	changes.addFlags(cmd.Flags())
	return cmd
}

func runUpdate(ctx context.Context, env *command.Env, changes settings) error {
	if len(changes) == 0 {
		return command.Misusef("nothing to change: see \"muster swarm update --help\" for the settings")
	}
	conn, err := env.Control()
	if err != nil {
		return err
	}
	cluster := controlpb.NewClusterServiceClient(conn)
	err = noun.Update(ctx,
		func() (*clusterpb.Cluster, error) {
			r, err := cluster.GetCluster(ctx, &controlpb.GetClusterRequest{})
			return r.GetCluster(), err
		},
		func(c *clusterpb.Cluster) error {
			s := new(clusterpb.ClusterSpec)
			proto.Merge(s, c.GetSpec())
			changes.apply(s)
			if err := spec.ValidateCluster(s); err != nil {
				return err
			}
			_, err := cluster.UpdateCluster(ctx, &controlpb.UpdateClusterRequest{Version: c.GetVersion(), Spec: s})
			return err
		})
	if err == nil {
		fmt.Fprintln(env.Out, "The settings of the cluster are changed.")
	}
	return err
}
