package task

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/muster/muster/cli/render"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/port"
)

// table is what a list of tasks shows.
func table() render.Table {
	return render.Table{
		{Field: "ID", Header: "ID"},
		{Field: "Name", Header: "NAME"},
		{Field: "Image", Header: "IMAGE"},
		{Field: "Node", Header: "NODE"},
		{Field: "DesiredState", Header: "DESIRED STATE"},
		{Field: "CurrentState", Header: "CURRENT STATE"},
		{Field: "Error", Header: "ERROR"},
		{Field: "Ports", Header: "PORTS"},
	}
}

// errorWidth is how much of an error a list shows.
const errorWidth = 40

// compare orders tasks by service and slot, the newest of a slot first.
func compare(a, b *clusterpb.Task) int {
	return cmp.Or(
		cmp.Compare(a.GetServiceName(), b.GetServiceName()),
		cmp.Compare(a.GetServiceId(), b.GetServiceId()),
		cmp.Compare(a.GetSlot(), b.GetSlot()),
		lifecycle.NewestFirst(a, b),
	)
}

// rows are the lines of ordered tasks; the older tasks of a slot are marked as
// its history.
func rows(tasks []*clusterpb.Task, opts options, now time.Time) []render.Row {
	var list []render.Row
	previous := ""
	for _, t := range tasks {
		name := opts.names.Task(t)
		shown := name
		if name == previous {
			shown = ` \_ ` + name
		}
		previous = name
		list = append(list, render.Row{
			"ID":           render.ID(t.GetId(), opts.noTrunc),
			"Name":         render.Cell{Value: name, Shown: shown},
			"Image":        render.Image(pod.Image(t.GetSpec(), t.GetImages()), opts.noTrunc),
			"Node":         opts.names.Node(t.GetNodeId()),
			"DesiredState": title(lifecycle.Name(t.GetDesired())),
			"CurrentState": CurrentState(t, now),
			"Error":        taskError(t, opts.noTrunc),
			"Ports":        hostPorts(t),
		})
	}
	return list
}

// CurrentState is what was last observed, and when.
func CurrentState(t *clusterpb.Task, now time.Time) string {
	status := t.GetStatus()
	at := status.GetAppliedAt() // the leader's clock: the nodes' differ
	if at == nil {
		at = status.GetAt()
	}
	s := title(lifecycle.Name(status.GetState()))
	if status.GetHealth().GetState() == clusterpb.HealthStatus_STATE_UNHEALTHY {
		s += " (unhealthy)"
	}
	if ago := render.Ago(at, now); ago != "" {
		s += " " + ago
	}
	if wait := t.GetStartAfter().AsTime().Sub(now); t.GetStartAfter() != nil && wait > 0 && status.GetState() <= lifecycle.Ready {
		s += fmt.Sprintf(", restarts in %s", strings.ToLower(units.HumanDuration(wait)))
	}
	return s
}

// taskError says why the task does not run. A failed task also tells what
// became of its slot, such as that no attempt is left.
func taskError(t *clusterpb.Task, noTrunc bool) render.Cell {
	text := strings.Join(strings.Fields(t.GetStatus().GetErr()), " ")
	// Of one that is still asked for, it is what it waited for: the end of another.
	said := t.GetDesired() <= lifecycle.Running || t.GetStatus().GetState() < lifecycle.Failed
	if reason := t.GetDesiredReason(); !said && reason != "" {
		if !strings.HasPrefix(reason, text) {
			reason = text + ": " + reason
		}
		text = reason
	}
	if text == "" {
		return render.Cell{}
	}
	shown := text
	if !noTrunc {
		shown = render.Ellipsis(text, errorWidth)
	}
	return render.Cell{Value: text, Shown: `"` + shown + `"`}
}

// hostPorts are the ports that a task has on its node for itself.
func hostPorts(t *clusterpb.Task) string {
	var list []string
	for _, p := range t.GetStatus().GetHostPorts() {
		list = append(list, fmt.Sprintf("*:%d->%d/%s", p.GetPublished(), p.GetTarget(), port.ProtocolName(p.GetProtocol())))
	}
	return strings.Join(list, ", ")
}

func title(s string) string {
	if s == "" || s == "unspecified" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
