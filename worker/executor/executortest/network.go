package executortest

import (
	"context"
	"slices"
	"sync"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/worker/executor"
)

// Network is an executor.Network that only remembers. Its zero value is
// ready to use.
type Network struct {
	// Path gives the path that Attach returns; "" when unset, which means
	// a namespace of the container's own with no links but lo.
	Path func(taskID string) string

	mu       sync.Mutex
	attached map[string]bool
}

var _ executor.Network = (*Network)(nil)

// Attach implements executor.Network.
func (n *Network) Attach(_ context.Context, taskID string, _ []*clusterpb.Attachment) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.attached == nil {
		n.attached = make(map[string]bool)
	}
	n.attached[taskID] = true
	if n.Path == nil {
		return "", nil
	}
	return n.Path(taskID), nil
}

// Detach implements executor.Network.
func (n *Network) Detach(_ context.Context, taskID string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.attached, taskID)
	return nil
}

// Attached implements executor.Network.
func (n *Network) Attached() ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := make([]string, 0, len(n.attached))
	for id := range n.attached {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}
