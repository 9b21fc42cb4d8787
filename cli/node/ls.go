package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	"github.com/muster/muster/cli/render"
	controlpb "github.com/muster/muster/proto/control/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
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
		Short:   "List nodes",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runList(cmd.Context(), env, opts)
		},
	}
	fs := cmd.Flags()
	opts.filters = render.FilterFlag(fs, "id", "label", "name", "node.label", "role")
	fs.StringVar(&opts.format, "format", "", `"table", "table TEMPLATE", "json" or a Go template`)
	flags.On(fs, &opts.quiet, "quiet", "q", "show ids only")
	return cmd
}

// listTable says what a list shows. REACHABILITY is what the membership
// gossip knows of the node, beside what the managers do.
func listTable() render.Table {
	return render.Table{
		{Field: "ID", Header: "ID", Cell: `{{.ID}}{{if eq .Self "true"}} *{{end}}`},
		{Field: "Hostname", Header: "HOSTNAME"},
		{Field: "Status", Header: "STATUS"},
		{Field: "Availability", Header: "AVAILABILITY"},
		{Field: "ManagerStatus", Header: "MANAGER STATUS"},
		{Field: "Reachability", Header: "REACHABILITY"},
		{Field: "EngineVersion", Header: "ENGINE VERSION"},
		{Field: "Self", Header: "SELF", Hidden: true},
		{Field: "Role", Header: "ROLE", Hidden: true},
		{Field: "Address", Header: "ADDRESS", Hidden: true},
		{Field: "Message", Header: "MESSAGE", Hidden: true},
	}
}

func runList(ctx context.Context, env *command.Env, opts listOptions) error {
	if err := opts.filters.Check("role", "manager", "worker"); err != nil {
		return err
	}
	if err := listTable().Check(opts.format); err != nil {
		return err
	}
	control, err := env.Control()
	if err != nil {
		return err
	}
	response, err := control.ListNodes(ctx, &controlpb.ListNodesRequest{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	self := selfID(ctx, env)
	nodes := response.GetNodes()
	slices.SortFunc(nodes, func(a, b *controlpb.NodeView) int {
		return cmp.Or(
			cmp.Compare(a.GetNode().GetDescription().GetHostname(), b.GetNode().GetDescription().GetHostname()),
			cmp.Compare(a.GetNode().GetId(), b.GetNode().GetId()),
		)
	})
	var rows []render.Row
	for _, v := range nodes {
		if selected(v, opts.filters) {
			rows = append(rows, listRow(v, self))
		}
	}
	format := opts.format
	if opts.quiet {
		format = "{{.ID}}"
	}
	return listTable().Write(env.Out, format, rows)
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

func selected(v *controlpb.NodeView, f render.Filters) bool {
	n := v.GetNode()
	return f.MatchPrefix("id", n.GetId()) && f.MatchPrefix("name", n.GetDescription().GetHostname()) &&
		f.Match("role", role(n)) && f.MatchLabels("label", n.GetDescription().GetLabels()) &&
		f.MatchLabels("node.label", n.GetSpec().GetLabels())
}

func listRow(v *controlpb.NodeView, self string) render.Row {
	n := v.GetNode()
	return render.Row{
		"ID":            n.GetId(),
		"Self":          fmt.Sprint(n.GetId() == self),
		"Hostname":      n.GetDescription().GetHostname(),
		"Status":        title(state(n)),
		"Availability":  title(availability(n)),
		"ManagerStatus": managerStatus(v),
		"Reachability":  v.GetGossip(),
		"EngineVersion": n.GetDescription().GetVersion(),
		"Role":          role(n),
		"Address":       n.GetStatus().GetAddr(),
		"Message":       n.GetStatus().GetMessage(),
	}
}
