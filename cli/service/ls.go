package service

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/render"
	"github.com/muster/muster/cli/service/text"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/docker"
	"github.com/muster/muster/proto/pod"
)

// modes are the kinds of services that Docker's filter knows: asking for one
// that no service has is not a mistake.
var modes = []string{"replicated", "global", "replicated-job", "global-job"}

func newListCommand(env *command.Env) *cobra.Command {
	return noun.List[controlpb.ServiceServiceClient, *controlpb.ServiceView]{
		Connect: command.Client(env, controlpb.NewServiceServiceClient),
		Table:   listTable,
		Filters: []noun.Filter[*controlpb.ServiceView]{
			noun.Prefix("id", func(v *controlpb.ServiceView) string { return v.GetService().GetId() }),
			noun.Labels("label", func(v *controlpb.ServiceView) map[string]string { return v.GetService().GetSpec().GetLabels() }),
			noun.Word("mode", func(*controlpb.ServiceView) string { return "replicated" }, modes...),
			noun.Prefix("name", name),
			noun.Word("runtime", func(*controlpb.ServiceView) string { return "container" }, "container", "plugin"),
		},
		Find:    list,
		Compare: func(a, b *controlpb.ServiceView) int { return cmp.Compare(name(a), name(b)) },
		Rows:    noun.Each(func(v *controlpb.ServiceView) render.Row { return listRow(env, v) }),
	}.Command(env, &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List services",
		Args:    command.NoArgs,
	})
}

func list(ctx context.Context, services controlpb.ServiceServiceClient, _ []string, _ render.Filters) ([]*controlpb.ServiceView, error) {
	all, err := command.Services(ctx, services)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	return all, nil
}

func name(v *controlpb.ServiceView) string { return v.GetService().GetSpec().GetName() }

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
		"Image":       render.Image(pod.Image(svc.GetSpec().GetTask(), svc.GetImages()), false),
		"Ports":       text.Ports(svc.GetPorts()),
		"UpdateState": string(docker.UpdateState(svc.GetUpdate().GetState())),
		"CreatedAt": render.Cell{
			Value: svc.GetCreatedAt().AsTime().Format(time.RFC3339),
			Shown: render.Ago(svc.GetCreatedAt(), env.Now()),
		},
	}
}
