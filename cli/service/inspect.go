package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/render"
	"github.com/muster/muster/cli/service/shape"
)

type inspectOptions struct {
	services []string
	format   string
	pretty   bool
}

func newInspectCommand(env *command.Env) *cobra.Command {
	var opts inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] SERVICE [SERVICE...]",
		Short: "Show all about services",
		Args:  command.MinArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.services = args
			return runInspect(cmd.Context(), env, opts)
		},
	}
	cmd.Flags().StringVarP(&opts.format, "format", "f", "", `"json" or a Go template`)
	flags.On(cmd.Flags(), &opts.pretty, "pretty", "", "write for people, not JSON")
	return cmd
}

func runInspect(ctx context.Context, env *command.Env, opts inspectOptions) error {
	if opts.pretty && opts.format != "" {
		return command.Misusef("--pretty and --format exclude each other")
	}
	control, err := env.Control()
	if err != nil {
		return err
	}
	var objects []any
	var errs []error
	for i, name := range opts.services {
		svc, err := getService(ctx, control, name, 0)
		if err != nil {
			errs = append(errs, err)
			continue // show what there is
		}
		if opts.pretty {
			if i > 0 {
				fmt.Fprintln(env.Out)
			}
			shape.Pretty(env.Out, svc, env.Now())
			continue
		}
		objects = append(objects, shape.Of(svc))
	}
	if !opts.pretty {
		errs = append(errs, render.Inspect(env.Out, opts.format, objects))
	}
	return errors.Join(errs...)
}
