package service

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/render"
	"github.com/muster/muster/cli/service/shape"
	"github.com/muster/muster/cli/task"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

type historyOptions struct {
	service string
	format  string
	noTrunc bool
}

func newHistoryCommand(env *command.Env) *cobra.Command {
	var opts historyOptions
	cmd := &cobra.Command{
		Use:   "history [OPTIONS] SERVICE",
		Short: "List the specs a service had, newest first",
		Args:  command.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.service = args[0]
			return runHistory(cmd.Context(), env, opts)
		},
	}
	cmd.Flags().StringVar(&opts.format, "format", "", `"table", "table TEMPLATE", "json" or a Go template`)
	flags.On(cmd.Flags(), &opts.noTrunc, "no-trunc", "", "shorten nothing")
	return cmd
}

func historyTable() render.Table {
	return render.Table{
		{Field: "Number", Header: "NUMBER", Cell: `{{.Number}}{{if eq .Current "true"}} *{{end}}`},
		{Field: "Created", Header: "CREATED"},
		{Field: "Outcome", Header: "OUTCOME"},
		{Field: "Image", Header: "IMAGE"},
		{Field: "Replicas", Header: "REPLICAS"},
		{Field: "CreatedAt", Header: "CREATED AT", Hidden: true},
		{Field: "Current", Header: "CURRENT", Hidden: true},
	}
}

func runHistory(ctx context.Context, env *command.Env, opts historyOptions) error {
	if err := historyTable().Check(opts.format); err != nil {
		return err
	}
	control, err := env.Control()
	if err != nil {
		return err
	}
	svc, err := getService(ctx, control, opts.service, 0)
	if err != nil {
		return err
	}
	list := records(svc)
	var rows []render.Row
	for i, r := range slices.Backward(list) {
		rows = append(rows, render.Row{
			"Number":    strconv.FormatUint(r.GetNumber(), 10),
			"Current":   strconv.FormatBool(i == len(list)-1),
			"Created":   render.Ago(r.GetCreatedAt(), env.Now()),
			"CreatedAt": r.GetCreatedAt().AsTime().Format(time.RFC3339),
			"Outcome":   shape.UpdateState(r.GetOutcome()),
			"Image":     task.Image(r.GetSpec().GetTask().GetContainer().GetImage(), opts.noTrunc),
			"Replicas":  strconv.FormatUint(uint64(r.GetSpec().GetReplicated().GetReplicas()), 10),
		})
	}
	return historyTable().Write(env.Out, opts.format, rows)
}

// records are the service's earlier specs, oldest first, and the current one,
// which is not in its history yet.
func records(svc *clusterpb.Service) []*clusterpb.SpecRecord {
	history := svc.GetHistory()
	current := &clusterpb.SpecRecord{
		Number:    1,
		Spec:      svc.GetSpec(),
		CreatedAt: svc.GetCreatedAt(),
		Outcome:   svc.GetUpdate().GetState(),
	}
	if n := len(history); n > 0 {
		current.Number = history[n-1].GetNumber() + 1
		current.CreatedAt = svc.GetUpdatedAt()
		if at := svc.GetUpdate().GetStartedAt(); at != nil {
			current.CreatedAt = at
		}
	}
	return append(slices.Clip(history), current)
}
