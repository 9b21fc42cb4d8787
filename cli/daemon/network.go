package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/muster/muster/ingress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/worker"
	"github.com/muster/muster/worker/executor"
)

// network gives tasks network namespaces that are attached to the data plane.
type network struct {
	plane *ingress.Plane
	dir   string
}

var _ executor.Network = (*network)(nil)

func (n *network) path(taskID string) string { return filepath.Join(n.dir, taskID) }

// Attach implements executor.Network.
func (n *network) Attach(ctx context.Context, taskID string, attachments []*clusterpb.Attachment) (string, error) {
	if err := os.MkdirAll(n.dir, 0o711); err != nil {
		return "", fmt.Errorf("make directory of network namespaces: %w", err)
	}
	path := n.path(taskID)
	if err := n.plane.CreateNetns(path); err != nil {
		return "", err
	}
	return path, n.plane.Attach(ctx, ingress.Task{ID: taskID, Netns: path, Attachments: worker.Attachments(attachments)})
}

// Detach implements executor.Network.
func (n *network) Detach(ctx context.Context, taskID string) error {
	return errors.Join(n.plane.Detach(ctx, taskID), n.plane.DeleteNetns(n.path(taskID)))
}

// Attached implements executor.Network.
func (n *network) Attached() (ids []string, err error) {
	entries, err := os.ReadDir(n.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids, err
}
