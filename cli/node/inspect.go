package node

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/noun"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/docker"
)

func newInspectCommand(env *command.Env) *cobra.Command {
	return noun.Inspect[controlpb.NodeServiceClient, *controlpb.NodeView]{
		Connect: command.Client(env, controlpb.NewNodeServiceClient),
		Get: func(ctx context.Context, nodes controlpb.NodeServiceClient, name string) (*controlpb.NodeView, error) {
			return get(ctx, env, nodes, name)
		},
		Shape:  func(v *controlpb.NodeView) any { return docker.NodeOf(v) },
		Pretty: pretty,
	}.Command(env, &cobra.Command{
		Use:               "inspect [OPTIONS] self|NODE [NODE...]",
		Short:             "Show details of nodes",
		Args:              command.MinArgs(1),
		ValidArgsFunction: command.Complete(env, 0, command.NodeNamesAndSelf),
	})
}

// get reads a node by id, unique prefix, host name or "self".
func get(ctx context.Context, env *command.Env, nodes controlpb.NodeServiceClient, name string) (*controlpb.NodeView, error) {
	if name == command.Self {
		id, err := command.NodeID(ctx, env, name)
		if err != nil {
			return nil, err
		}
		name = id
	}
	r, err := nodes.GetNode(ctx, &controlpb.GetNodeRequest{Node: name})
	if err != nil {
		return nil, err
	}
	return r.GetNode(), nil
}
