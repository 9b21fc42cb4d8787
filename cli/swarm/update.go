package swarm

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/spec"
)

// maxConflicts bounds how often a change is made anew because another one
// came between reading the settings and writing them.
const maxConflicts = 5

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
	control, err := env.Control()
	if err != nil {
		return err
	}
	for tries := 1; ; tries++ {
		r, err := control.GetCluster(ctx, &controlpb.GetClusterRequest{})
		if err != nil {
			return err
		}
		s := new(clusterpb.ClusterSpec)
		proto.Merge(s, r.GetCluster().GetSpec())
		changes.apply(s)
		if err := spec.ValidateCluster(s); err != nil {
			return err
		}
		_, err = control.UpdateCluster(ctx, &controlpb.UpdateClusterRequest{Version: r.GetCluster().GetVersion(), Spec: s})
		if errdefs.IsConflict(err) && tries < maxConflicts {
			continue // the flags mean the same on the newer settings
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(env.Out, "The cluster's settings are changed.")
		return nil
	}
}
