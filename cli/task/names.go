package task

import (
	"context"
	"fmt"

	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/id"
)

// Names turns ids into the names people know. The zero value shows ids.
type Names struct {
	nodes   map[string]string
	resolve bool
}

// Resolve asks the cluster for the names of nodes.
func Resolve(ctx context.Context, client controlpb.NodeServiceClient) (Names, error) {
	nodes, err := command.Nodes(ctx, client)
	if err != nil {
		return Names{}, fmt.Errorf("list nodes: %w", err)
	}
	n := Names{nodes: make(map[string]string), resolve: true}
	for _, v := range nodes {
		n.nodes[v.GetNode().GetId()] = v.GetNode().GetDescription().GetHostname()
	}
	return n, nil
}

// Node is a node's host name, or its id when it has none or is gone.
func (n Names) Node(node string) string {
	if name := n.nodes[node]; name != "" {
		return name
	}
	return id.Short(node)
}

// Task is SERVICE.SLOT.
func (n Names) Task(t *clusterpb.Task) string {
	service := t.GetServiceName()
	if !n.resolve || service == "" {
		service = t.GetServiceId()
	}
	name := fmt.Sprintf("%s.%d", service, t.GetSlot())
	if t.GetCanary() {
		name += " (canary)"
	}
	return name
}
