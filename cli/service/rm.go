package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	controlpb "github.com/muster/muster/proto/control/v1"
)

func newRemoveCommand(env *command.Env) *cobra.Command {
	return &cobra.Command{
		Use:     "rm SERVICE [SERVICE...]",
		Aliases: []string{"remove"},
		Short:   "Remove services and stop their tasks",
		Args:    command.MinArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRemove(cmd.Context(), env, args)
		},
	}
}

func runRemove(ctx context.Context, env *command.Env, services []string) error {
	control, err := env.Control()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range services {
		if _, err := control.RemoveService(ctx, &controlpb.RemoveServiceRequest{Service: name}); err != nil {
			errs = append(errs, err)
			continue // one bad name must not strand the others
		}
		fmt.Fprintln(env.Out, name)
	}
	return errors.Join(errs...)
}
