package node

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// usersTimeout bounds asking what an image is needed for: a user waits.
const usersTimeout = 5 * time.Second

// ImageUsers asks the managers why an image of this node has to stay. In no
// cluster nothing needs it. Unavailable means that no manager could say.
func ImageUsers(ctx context.Context, n *Node, r *dispatchpb.FindImageUsersRequest) (users *dispatchpb.FindImageUsersResponse, err error) {
	m := n.member.Load()
	if m == nil {
		return nil, nil //nolint:nilnil // the zero message says that nothing needs it
	}
	ctx, cancel := context.WithTimeoutCause(ctx, usersTimeout, fmt.Errorf("no answer within %s: %w", usersTimeout, errdefs.ErrUnavailable))
	defer cancel()
	err = m.ask(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		users, err = dispatchpb.NewInventoryServiceClient(conn).FindImageUsers(ctx, r)
		return err
	})
	return users, err
}
