package service

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
		Use:   "ps [OPTIONS] SERVICE [SERVICE...]",
		Short: "List the tasks of services",
		Args:  command.MinArgs(1),
	}
	return task.Command(env, cmd, selectTasksOf)
}

// selectTasksOf selects the tasks of services.
func selectTasksOf(ctx context.Context, conn grpc.ClientConnInterface, names []string) (*controlpb.ListTasksRequest, error) {
	services := controlpb.NewServiceServiceClient(conn)
	var ids []string
	err := noun.ForEach(names, func(name string) error {
		svc, err := getService(ctx, services, name, 0)
		if err == nil {
			ids = append(ids, svc.GetId())
		}
		return err
	})
	if len(ids) == 0 {
		return nil, err
	}
	return &controlpb.ListTasksRequest{ServiceIds: ids}, err
}
