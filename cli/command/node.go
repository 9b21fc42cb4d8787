package command

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	controlpb "github.com/muster/muster/proto/control/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// Self is what users write for the node of this machine.
const Self = "self"

// NodeID returns the id of a node named by id, unique prefix, host name or
// "self".
func NodeID(ctx context.Context, env *Env, name string) (string, error) {
	if name == Self {
		return selfID(ctx, env)
	}
	conn, err := env.Control()
	if err != nil {
		return "", err
	}
	nodes := controlpb.NewNodeServiceClient(conn)
	r, err := nodes.GetNode(ctx, &controlpb.GetNodeRequest{Node: name})
	if err != nil {
		return "", err // it names the node
	}
	return r.GetNode().GetNode().GetId(), nil
}

func selfID(ctx context.Context, env *Env) (string, error) {
	local, err := env.Local()
	if err != nil {
		return "", err
	}
	status, err := local.GetStatus(ctx, &nodepb.GetStatusRequest{})
	if err != nil {
		return "", fmt.Errorf("ask this node who it is: %w", err)
	}
	if status.GetNodeId() == "" {
		return "", fmt.Errorf("this node is in no cluster: run \"muster swarm init\" or \"muster swarm join\": %w", errdefs.ErrFailedPrecondition)
	}
	return status.GetNodeId(), nil
}
