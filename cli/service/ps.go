package service

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/task"
	controlpb "github.com/muster/muster/proto/control/v1"
)

type tasksOptions struct {
	task.Options
	services []string
}

func newTasksCommand(env *command.Env) *cobra.Command {
	var opts tasksOptions
	cmd := &cobra.Command{
		Use:   "ps [OPTIONS] SERVICE [SERVICE...]",
		Short: "List the tasks of services",
		Args:  command.MinArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.services = args
			return runTasks(cmd.Context(), env, opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runTasks(ctx context.Context, env *command.Env, opts tasksOptions) error {
	if err := opts.Check(); err != nil {
		return err
	}
	control, err := env.Control()
	if err != nil {
		return err
	}
	var request controlpb.ListTasksRequest
	var errs []error
	for _, name := range opts.services {
		svc, err := getService(ctx, control, name, 0)
		if err != nil {
			errs = append(errs, err)
			continue // show what there is
		}
		request.ServiceIds = append(request.ServiceIds, svc.GetId())
	}
	if len(request.GetServiceIds()) > 0 { // none would list all
		errs = append(errs, task.List(ctx, env, control, &request, opts.Options))
	}
	return errors.Join(errs...)
}
