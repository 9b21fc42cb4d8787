package node

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/task"
	controlpb "github.com/muster/muster/proto/control/v1"
)

func newTasksCommand(env *command.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "ps [OPTIONS] [NODE...]",
		Short:             "List the tasks on nodes, by default on this one",
		ValidArgsFunction: command.Complete(env, 0, command.NodeNamesAndSelf),
	}
	return task.Command(env, cmd, func(ctx context.Context, _ grpc.ClientConnInterface, nodes []string) (*controlpb.ListTasksRequest, error) {
		if len(nodes) == 0 {
			nodes = []string{command.Self}
		}
		return selectTasksOn(ctx, env, nodes)
	})
}

// selectTasksOn selects the tasks on nodes.
func selectTasksOn(ctx context.Context, env *command.Env, nodes []string) (*controlpb.ListTasksRequest, error) {
	var ids []string
	err := noun.ForEach(nodes, func(name string) error {
		id, err := command.NodeID(ctx, env, name)
		if err == nil {
			ids = append(ids, id)
		}
		return err
	})
	if len(ids) == 0 {
		return nil, err
	}
	return &controlpb.ListTasksRequest{NodeIds: ids}, err
}
