package dispatcher

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/muster/muster/dispatcher/plan"
	"github.com/muster/muster/proto/call"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

const (
	// maxNames and maxNameSize bound what a node asks about at a time.
	maxNames, maxNameSize = 1000, 512
	// maxUsers is how many services are told by name.
	maxUsers = 5
)

// Inventory implements InventoryService on the leader.
type Inventory struct {
	dispatchpb.UnimplementedInventoryServiceServer

	Store Store
}

var _ dispatchpb.InventoryServiceServer = (*Inventory)(nil)

// FindImageUsers says why an image that the calling node holds has to stay.
// InvalidArgument means that names or digest are none.
func (i *Inventory) FindImageUsers(ctx context.Context, r *dispatchpb.FindImageUsersRequest) (*dispatchpb.FindImageUsersResponse, error) {
	nodeID, err := call.Node(ctx)
	if err != nil {
		return nil, fmt.Errorf("identify node: %w", err)
	}
	if err := checkAsked(r); err != nil {
		return nil, err
	}
	st := i.Store.State()
	users := plan.ImageUsers(st, r.GetDigest(), r.GetNames())
	told := min(len(users), maxUsers)
	return &dispatchpb.FindImageUsersResponse{
		Services: users[:told], More: uint32(len(users) - told),
		Elsewhere: r.GetDigest() != "" && plan.GivenElsewhere(st, nodeID, r.GetDigest()),
	}, nil
}

func checkAsked(r *dispatchpb.FindImageUsersRequest) error {
	if len(r.GetNames()) > maxNames {
		return fmt.Errorf("%d names of an image: at most %d: %w", len(r.GetNames()), maxNames, errdefs.ErrInvalidArgument)
	}
	for _, name := range r.GetNames() {
		if name == "" || len(name) > maxNameSize {
			return fmt.Errorf("name %.64q of an image: want 1 to %d bytes: %w", name, maxNameSize, errdefs.ErrInvalidArgument)
		}
	}
	if d := r.GetDigest(); d != "" && digest.Digest(d).Validate() != nil {
		return fmt.Errorf("digest %.128q of an image: want sha256:HEX: %w", d, errdefs.ErrInvalidArgument)
	}
	return nil
}
