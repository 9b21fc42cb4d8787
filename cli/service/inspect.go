package service

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/service/text"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/docker"
)

func newInspectCommand(env *command.Env) *cobra.Command {
	return noun.Inspect[controlpb.ServiceServiceClient, *clusterpb.Service]{
		Connect: command.Client(env, controlpb.NewServiceServiceClient),
		Get: func(ctx context.Context, services controlpb.ServiceServiceClient, name string) (*clusterpb.Service, error) {
			return getService(ctx, services, name, 0)
		},
		Shape:  func(s *clusterpb.Service) any { return docker.ServiceOf(s) },
		Pretty: text.Pretty,
	}.Command(env, &cobra.Command{
		Use:   "inspect [OPTIONS] SERVICE [SERVICE...]",
		Short: "Show details of services",
		Args:  command.MinArgs(1),
	})
}
