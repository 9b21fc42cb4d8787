package service

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/noun"
	controlpb "github.com/muster/muster/proto/control/v1"
)

func newRemoveCommand(env *command.Env) *cobra.Command {
	return noun.Remove[controlpb.ServiceServiceClient]{
		Connect: command.Client(env, controlpb.NewServiceServiceClient),
		Remove: func(ctx context.Context, services controlpb.ServiceServiceClient, name string) ([]string, error) {
			_, err := services.RemoveService(ctx, &controlpb.RemoveServiceRequest{Service: name})
			return []string{name}, err
		},
	}.Command(env, &cobra.Command{
		Use:     "rm SERVICE [SERVICE...]",
		Aliases: []string{"remove"},
		Short:   "Remove services and stop their tasks",
		Args:    command.MinArgs(1),
	})
}
