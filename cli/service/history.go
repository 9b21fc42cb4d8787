package service

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/render"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/docker"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/rollout"
)

func newHistoryCommand(env *command.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history [OPTIONS] SERVICE",
		Short: "List the specs of a service, newest first",
		Args:  command.ExactArgs(1),
	}
	var noTrunc bool
	flags.On(cmd.Flags(), &noTrunc, "no-trunc", "", "do not shorten output")
	return noun.List[controlpb.ServiceServiceClient, entry]{
		Connect: command.Client(env, controlpb.NewServiceServiceClient),
		Table:   historyTable,
		Find: func(ctx context.Context, services controlpb.ServiceServiceClient, args []string, _ render.Filters) ([]entry, error) {
			svc, err := getService(ctx, services, args[0], 0)
			if err != nil {
				return nil, err
			}
			return entries(svc), nil
		},
		Rows: func(list []entry) []render.Row { return historyRows(list, noTrunc, env.Now()) },
	}.Command(env, cmd)
}

func historyTable() render.Table {
	return render.Table{
		{Field: "Number", Header: "NUMBER", Cell: `{{.Number}}{{if eq (print .Current) "true"}} *{{end}}`},
		{Field: "Created", Header: "CREATED"},
		{Field: "Outcome", Header: "OUTCOME"},
		{Field: "Image", Header: "IMAGE"},
		{Field: "Replicas", Header: "REPLICAS"},
		{Field: "CreatedAt", Header: "CREATED AT", Hidden: true},
		{Field: "Current", Header: "CURRENT", Hidden: true},
	}
}

// historyRows are the lines of entries, which are the oldest first.
func historyRows(list []entry, noTrunc bool, now time.Time) (rows []render.Row) {
	for i, r := range slices.Backward(list) {
		rows = append(rows, render.Row{
			"Number":    strconv.FormatUint(r.GetNumber(), 10),
			"Current":   i == len(list)-1,
			"Created":   render.Ago(r.GetCreatedAt(), now),
			"CreatedAt": r.GetCreatedAt().AsTime().Format(time.RFC3339),
			"Outcome":   string(r.outcome),
			"Image":     render.Image(pod.Image(r.GetSpec().GetTask(), r.GetImages()), noTrunc),
			"Replicas":  strconv.FormatUint(uint64(r.GetSpec().GetReplicated().GetReplicas()), 10),
		})
	}
	return rows
}

// entry is a spec of a service and what became of the rollout that began with it.
type entry struct {
	*clusterpb.SpecRecord

	outcome swarm.UpdateState
}

// entries are the service's earlier specs, oldest first, and the current one,
// which is not in its history yet. A spec that began no rollout has no outcome;
// a rollout that is not over, or is the last one, is where it is now.
func entries(svc *clusterpb.Service) (list []entry) {
	for _, r := range append(slices.Clip(svc.GetHistory()), rollout.Present(svc)) {
		e := entry{SpecRecord: r}
		switch {
		case !r.GetRolled():
		case r.GetSpecVersion() == svc.GetSpecVersion():
			e.outcome = docker.UpdateState(svc.GetUpdate().GetState())
		default:
			e.outcome = docker.Outcome(r.GetOutcome())
		}
		list = append(list, e)
	}
	return list
}
