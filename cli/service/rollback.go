package service

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/progress"
	"github.com/muster/muster/cli/service/text"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/docker"
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
		Long:  "Go back to the last spec of a service that was rolled out whole and has other tasks than the present one, or to one that \"service history\" lists, and wait until it is rolled out.\n\n" + command.ExitHelp,
		Args:  command.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.service = args[0]
			return runRollback(cmd.Context(), env, opts)
		},
	}
	flags.Var(cmd.Flags(), "to", "", "number of the spec in \"service history\" (default the last one that was rolled out whole)", flags.Int(1, math.MaxInt64),
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
	if !opts.quiet {
		fmt.Fprintf(env.Err, "%s: back to %s: %s\n", opts.service, target(response.GetTo()), changed(before, response.GetService()))
	}
	return opts.wait(ctx, env, response.GetService(), progress.Goal{Before: before, Rollback: true})
}

func target(number uint64) string {
	if number == 0 { // the answer that named it was lost
		return "an earlier spec"
	}
	return fmt.Sprintf("number %d", number)
}

// changed says in one line which fields of a spec differ.
func changed(before, after *clusterpb.Service) string {
	var fields []string
	for _, c := range text.Diff(docker.ServiceOf(before).Spec, docker.ServiceOf(after).Spec) {
		fields = append(fields, fmt.Sprintf("%s: %s -> %s", c.Field, orUnset(c.From), orUnset(c.To)))
	}
	if len(fields) == 0 {
		return "no field changes"
	}
	return strings.Join(fields, ", ")
}
