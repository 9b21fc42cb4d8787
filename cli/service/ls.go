package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/render"
	"github.com/muster/muster/cli/service/shape"
	"github.com/muster/muster/cli/task"
	controlpb "github.com/muster/muster/proto/control/v1"
)

type listOptions struct {
	filters render.Filters
	format  string
	quiet   bool
}

func newListCommand(env *command.Env) *cobra.Command {
	var opts listOptions
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List services",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runList(cmd.Context(), env, opts)
		},
	}
	fs := cmd.Flags()
	opts.filters = render.FilterFlag(fs, "id", "label", "mode", "name")
	fs.StringVar(&opts.format, "format", "", `"table", "table TEMPLATE", "json" or a Go template`)
	flags.On(fs, &opts.quiet, "quiet", "q", "show ids only")
	return cmd
}

func listTable() render.Table {
	return render.Table{
		{Field: "ID", Header: "ID"},
		{Field: "Name", Header: "NAME"},
		{Field: "Mode", Header: "MODE"},
		{Field: "Replicas", Header: "REPLICAS"},
		{Field: "Image", Header: "IMAGE"},
		{Field: "Ports", Header: "PORTS"},
		{Field: "UpdateState", Header: "UPDATE", Hidden: true},
		{Field: "CreatedAt", Header: "CREATED", Hidden: true},
	}
}

func runList(ctx context.Context, env *command.Env, opts listOptions) error {
	if err := opts.filters.Check("mode", "replicated"); err != nil {
		return err
	}
	if err := listTable().Check(opts.format); err != nil {
		return err
	}
	control, err := env.Control()
	if err != nil {
		return err
	}
	response, err := control.ListServices(ctx, &controlpb.ListServicesRequest{})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	services := response.GetServices()
	slices.SortFunc(services, func(a, b *controlpb.ServiceView) int {
		return cmp.Compare(a.GetService().GetSpec().GetName(), b.GetService().GetSpec().GetName())
	})
	var rows []render.Row
	for _, v := range services {
		s := v.GetService().GetSpec()
		if !opts.filters.MatchPrefix("id", v.GetService().GetId()) || !opts.filters.MatchPrefix("name", s.GetName()) ||
			!opts.filters.MatchLabels("label", s.GetLabels()) {
			continue
		}
		rows = append(rows, listRow(env, v))
	}
	format := opts.format
	if opts.quiet {
		format = "{{.ID}}"
	}
	return listTable().Write(env.Out, format, rows)
}

func listRow(env *command.Env, v *controlpb.ServiceView) render.Row {
	svc := v.GetService()
	replicas := fmt.Sprintf("%d/%d", v.GetRunning(), v.GetDesired())
	if n := svc.GetSpec().GetTask().GetPlacement().GetMaxPerNode(); n > 0 {
		replicas += fmt.Sprintf(" (max %d per node)", n)
	}
	return render.Row{
		"ID":          render.ID(svc.GetId(), false),
		"Name":        svc.GetSpec().GetName(),
		"Mode":        "replicated",
		"Replicas":    replicas,
		"Image":       task.Image(svc.GetSpec().GetTask().GetContainer().GetImage(), false),
		"Ports":       shape.Ports(svc.GetPorts()),
		"UpdateState": shape.UpdateState(svc.GetUpdate().GetState()),
		"CreatedAt":   render.Ago(svc.GetCreatedAt(), env.Now()),
	}
}
