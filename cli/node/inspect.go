package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/render"
	controlpb "github.com/muster/muster/proto/control/v1"
)

type inspectOptions struct {
	nodes  []string
	format string
	pretty bool
}

func newInspectCommand(env *command.Env) *cobra.Command {
	var opts inspectOptions
	cmd := &cobra.Command{
		Use:               "inspect [OPTIONS] self|NODE [NODE...]",
		Short:             "Show all about nodes",
		Args:              command.MinArgs(1),
		ValidArgsFunction: command.Complete(env, 0, command.NodeNamesAndSelf),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.nodes = args
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
	for i, name := range opts.nodes {
		view, err := get(ctx, env, control, name)
		if err != nil {
			errs = append(errs, err)
			continue // show what there is
		}
		if opts.pretty {
			if i > 0 {
				fmt.Fprintln(env.Out)
			}
			pretty(env.Out, view, env.Now())
			continue
		}
		objects = append(objects, convert(view))
	}
	if !opts.pretty {
		errs = append(errs, render.Inspect(env.Out, opts.format, objects))
	}
	return errors.Join(errs...)
}

// get reads a node by id, unique prefix, host name or "self".
func get(ctx context.Context, env *command.Env, control controlpb.ControlServiceClient, name string) (*controlpb.NodeView, error) {
	if name == command.Self {
		id, err := command.NodeID(ctx, env, name)
		if err != nil {
			return nil, err
		}
		name = id
	}
	r, err := control.GetNode(ctx, &controlpb.GetNodeRequest{Node: name})
	if err != nil {
		return nil, err
	}
	return r.GetNode(), nil
}
