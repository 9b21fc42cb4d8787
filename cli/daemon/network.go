package daemon

import (
	"context"
	"errors"

	"github.com/muster/muster/ingress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/worker"
	"github.com/muster/muster/worker/executor"
)

// network gives tasks network namespaces that are attached to the data plane.
type network struct{ plane *ingress.Plane }

var _ executor.Network = network{}

// Attach implements executor.Network.
func (n network) Attach(ctx context.Context, taskID string, attachments []*clusterpb.Attachment) (string, error) {
	path, err := n.plane.CreateNetns(taskID)
	if err != nil {
		return "", err
	}
	return path, n.plane.Attach(ctx, ingress.Task{ID: taskID, Attachments: worker.Attachments(attachments)})
}

// Detach implements executor.Network.
func (n network) Detach(ctx context.Context, taskID string) error {
	return errors.Join(n.plane.Detach(ctx, taskID), n.plane.DeleteNetns(taskID))
}

// Attached implements executor.Network.
func (n network) Attached() ([]string, error) { return n.plane.Netns() }
