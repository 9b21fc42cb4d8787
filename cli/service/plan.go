package service

import (
	"context"
	"fmt"
	"strconv"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
	"github.com/muster/muster/cli/service/text"
	"github.com/muster/muster/cli/task"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/docker"
	"github.com/muster/muster/proto/id"
)

// showPlan prints what an update would change, field by field and slot by
// slot.
func showPlan(ctx context.Context, env *command.Env, before *clusterpb.Service, response *controlpb.UpdateServiceResponse) error {
	changes := text.Diff(docker.ServiceOf(before).Spec, docker.ServiceOf(response.GetService()).Spec)
	if len(changes) == 0 {
		fmt.Fprintln(env.Out, "No field would change.")
	} else {
		fmt.Fprintln(env.Out, "Fields:")
	}
	for _, c := range changes {
		fmt.Fprintf(env.Out, "  %s: %s -> %s\n", c.Field, orUnset(c.From), orUnset(c.To))
	}
	if len(response.GetPlan()) == 0 {
		fmt.Fprintln(env.Out, "No slot would change.")
		return nil
	}
	conn, err := env.Control()
	if err != nil {
		return err
	}
	names, err := task.Resolve(ctx, controlpb.NewNodeServiceClient(conn))
	if err != nil {
		return err
	}
	var rows []render.Row
	for _, p := range response.GetPlan() {
		rows = append(rows, render.Row{
			"Slot":   strconv.FormatUint(uint64(p.GetSlot()), 10),
			"Action": p.GetAction(),
			"Task":   id.Short(p.GetTaskId()),
			"Node":   names.Node(p.GetNodeId()),
		})
	}
	fmt.Fprintln(env.Out)
	return render.Table{
		{Field: "Slot", Header: "SLOT"},
		{Field: "Action", Header: "ACTION"},
		{Field: "Task", Header: "TASK"},
		{Field: "Node", Header: "NODE"},
	}.Write(env.Out, "", rows)
}

func orUnset(s string) string {
	if s == "" {
		return "(unset)"
	}
	return s
}
