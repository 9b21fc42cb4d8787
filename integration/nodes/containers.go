package nodes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// containers lists the containers that the node's containerd knows. One that
// is not there, or not running, knows none.
func (n *Node) containers(ctx context.Context) (Inventory, error) {
	if _, err := os.Stat(n.containerdSocket()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if _, err := n.Process("containerd"); err != nil {
		return nil, nil
	}
	client, err := containerd.New(n.containerdSocket())
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	defer client.Close()
	spaces, err := client.NamespaceService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var inv Inventory
	for _, space := range spaces {
		list, err := client.Containers(namespaces.WithNamespace(ctx, space))
		if err != nil {
			return nil, fmt.Errorf("list containers: %w", err)
		}
		for _, c := range list {
			inv = append(inv, "container "+space+"/"+c.ID())
		}
	}
	return inv, nil
}
