package node

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
	nodes []string
}

func newTasksCommand(env *command.Env) *cobra.Command {
	var opts tasksOptions
	cmd := &cobra.Command{
		Use:               "ps [OPTIONS] [NODE...]",
		Short:             "List the tasks of nodes, by default of this one",
		ValidArgsFunction: command.Complete(env, 0, command.NodeNamesAndSelf),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.nodes = args; len(args) == 0 {
				opts.nodes = []string{command.Self}
			}
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
	for _, name := range opts.nodes {
		id, err := command.NodeID(ctx, env, name)
		if err != nil {
			errs = append(errs, err)
			continue // show what there is
		}
		request.NodeIds = append(request.NodeIds, id)
	}
	if len(request.GetNodeIds()) > 0 { // none would list all
		errs = append(errs, task.List(ctx, env, control, &request, opts.Options))
	}
	return errors.Join(errs...)
}
