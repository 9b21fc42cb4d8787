package service

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/progress"
	controlpb "github.com/muster/muster/proto/control/v1"
)

type rollbackOptions struct {
	waitOptions
	service   string
	to        uint64
	ifVersion uint64
}

func newRollbackCommand(env *command.Env) *cobra.Command {
	var opts rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback [OPTIONS] SERVICE",
		Short: "Go back to an earlier spec of a service",
		Long:  "Go back to the previous spec of a service, or to one that \"service history\" lists, and wait until it is rolled out.\n\n" + command.ExitHelp,
		Args:  command.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.service = args[0]
			return runRollback(cmd.Context(), env, opts)
		},
	}
	flags.Var(cmd.Flags(), "to", "", "number of the spec in \"service history\" (default the one before the current)", flags.Int(1, 1<<62),
		func(n int64) { opts.to = uint64(n) })
	opts.addFlags(cmd.Flags())
	return cmd
}

func runRollback(ctx context.Context, env *command.Env, opts rollbackOptions) error {
	conn, err := env.Control()
	if err != nil {
		return err
	}
	services := controlpb.NewServiceServiceClient(conn)
	before, err := getService(ctx, services, opts.service, opts.ifVersion)
	if err != nil {
		return err
	}
	response, err := services.RollbackService(ctx, &controlpb.RollbackServiceRequest{
		Service: before.GetId(), To: opts.to, Version: before.GetVersion(),
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Out, opts.service)
	return opts.wait(ctx, env, response.GetService(), progress.Goal{Before: before, Rollback: true})
}
