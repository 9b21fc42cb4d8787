package node

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/noun"
	"github.com/muster/muster/cli/render"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/docker"
	nodepb "github.com/muster/muster/proto/node/v1"
)

func newListCommand(env *command.Env) *cobra.Command {
	self := ""
	return noun.List[controlpb.NodeServiceClient, *controlpb.NodeView]{
		Connect: command.Client(env, controlpb.NewNodeServiceClient),
		Table:   listTable,
		Filters: listFilters(),
		Find: func(ctx context.Context, nodes controlpb.NodeServiceClient, _ []string, _ render.Filters) ([]*controlpb.NodeView, error) {
			all, err := command.Nodes(ctx, nodes)
			if err != nil {
				return nil, fmt.Errorf("list nodes: %w", err)
			}
			self = selfID(ctx, env)
			return all, nil
		},
		Compare: func(a, b *controlpb.NodeView) int {
			return cmp.Or(cmp.Compare(hostname(a.GetNode()), hostname(b.GetNode())), cmp.Compare(a.GetNode().GetId(), b.GetNode().GetId()))
		},
		Notes: notes,
		Rows:  noun.Each(func(v *controlpb.NodeView) render.Row { return listRow(v, self) }),
	}.Command(env, &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List nodes",
		Args:    command.NoArgs,
	})
}

func listFilters() []noun.Filter[*controlpb.NodeView] {
	text := func(of func(*clusterpb.Node) string) func(*controlpb.NodeView) string {
		return func(v *controlpb.NodeView) string { return of(v.GetNode()) }
	}
	labels := func(of func(*clusterpb.Node) map[string]string) func(*controlpb.NodeView) map[string]string {
		return func(v *controlpb.NodeView) map[string]string { return of(v.GetNode()) }
	}
	return []noun.Filter[*controlpb.NodeView]{
		noun.Prefix("id", text((*clusterpb.Node).GetId)),
		noun.Labels("label", labels(func(n *clusterpb.Node) map[string]string { return n.GetDescription().GetLabels() })),
		// Who joined was accepted with its token: none is pending.
		noun.Word("membership", func(*controlpb.NodeView) string { return "accepted" }, "accepted", "pending"),
		noun.Prefix("name", text(hostname)),
		noun.Labels("node.label", labels(func(n *clusterpb.Node) map[string]string { return n.GetSpec().GetLabels() })),
		noun.Word("role", text(func(n *clusterpb.Node) string { return string(docker.Role(n.GetRole())) }), "manager", "worker"),
	}
}

// notes say of each node what is observed about it beside its state: why it
// is not ready, or what does not work although it is.
func notes(nodes []*controlpb.NodeView) (lines []string) {
	for _, v := range nodes {
		if message := v.GetNode().GetStatus().GetMessage(); message != "" {
			lines = append(lines, hostname(v.GetNode())+": "+message)
		}
	}
	return lines
}

func hostname(n *clusterpb.Node) string { return n.GetDescription().GetHostname() }

// listTable says what a list shows: the columns of Docker, whose scripts count
// them. Gossip is what the nodes know of each other, beside what managers do.
func listTable() render.Table {
	return render.Table{
		{Field: "ID", Header: "ID", Cell: `{{.ID}}{{if eq (print .Self) "true"}} *{{end}}`},
		{Field: "Hostname", Header: "HOSTNAME"},
		{Field: "Status", Header: "STATUS"},
		{Field: "Availability", Header: "AVAILABILITY"},
		{Field: "ManagerStatus", Header: "MANAGER STATUS"},
		{Field: "EngineVersion", Header: "ENGINE VERSION"},
		{Field: "Self", Header: "SELF", Hidden: true},
		{Field: "Gossip", Header: "GOSSIP", Hidden: true},
		{Field: "Role", Header: "ROLE", Hidden: true},
		{Field: "Address", Header: "ADDRESS", Hidden: true},
		{Field: "Message", Header: "MESSAGE", Hidden: true},
	}
}

// selfID is the id of this node; "" on a machine that is none.
func selfID(ctx context.Context, env *command.Env) string {
	local, err := env.Local()
	if err != nil {
		return ""
	}
	status, err := local.GetStatus(ctx, &nodepb.GetStatusRequest{})
	if err != nil {
		return ""
	}
	return status.GetNodeId()
}

func listRow(v *controlpb.NodeView, self string) render.Row {
	n := docker.NodeOf(v)
	return render.Row{
		"ID":            n.ID,
		"Self":          n.ID == self,
		"Hostname":      n.Description.Hostname,
		"Status":        title(string(n.Status.State)),
		"Availability":  title(string(n.Spec.Availability)),
		"ManagerStatus": managerStatus(n.ManagerStatus),
		"Gossip":        n.Status.Gossip,
		"EngineVersion": n.Description.Engine.EngineVersion,
		"Role":          string(n.Spec.Role),
		"Address":       n.Status.Addr,
		"Message":       n.Status.Message,
	}
}
