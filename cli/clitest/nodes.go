package clitest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// node makes a node: the leading manager, or a worker.
func node(name string, leads bool) *controlpb.NodeView {
	n := &clusterpb.Node{
		Id: strings.Repeat(name[:1], 25), Version: 5, CreatedAt: timestamppb.New(Now().Add(-time.Hour)), UpdatedAt: timestamppb.New(Now()),
		Spec: &clusterpb.NodeSpec{Labels: map[string]string{"zone": name}, Availability: clusterpb.NodeSpec_AVAILABILITY_ACTIVE},
		Role: clusterpb.NodeRole_NODE_ROLE_WORKER,
		Description: &clusterpb.NodeDescription{
			Hostname: name, Version: "1.0", ContainerdVersion: "2.4", Kernel: "6.18", ControlAddr: "192.0.2.1:2377",
			Platform:  &clusterpb.Platform{Os: "linux", Architecture: "amd64"},
			Resources: &clusterpb.Resources{NanoCpus: 2e9, MemoryBytes: 4 << 30},
			Labels:    map[string]string{"disk": "ssd"},
		},
		Status: &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_READY, Addr: "192.0.2.1", Since: timestamppb.New(Now().Add(-time.Minute))},
		Images: []*clusterpb.NodeImage{{Name: "docker.io/library/nginx:1.29", Digest: "sha256:1", SizeBytes: 187e6}},
	}
	v := &controlpb.NodeView{Node: n, Gossip: "alive"}
	if leads {
		n.Role = clusterpb.NodeRole_NODE_ROLE_MANAGER
		v.Leader, v.Manager = true, controlpb.NodeView_REACHABILITY_REACHABLE
	}
	return v
}

func (c *Cluster) findNodeLocked(ref string) (*controlpb.NodeView, error) {
	for _, v := range c.Nodes {
		if v.GetNode().GetId() == ref || v.GetNode().GetDescription().GetHostname() == ref {
			return v, nil
		}
	}
	return nil, fmt.Errorf("no node %q: %w", ref, errdefs.ErrNotFound)
}

// ListNodes returns all nodes.
func (c *Cluster) ListNodes(context.Context, *controlpb.ListNodesRequest) (*controlpb.ListNodesResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := &controlpb.ListNodesResponse{}
	for _, v := range c.Nodes {
		answer.Nodes = append(answer.Nodes, proto.CloneOf(v))
	}
	return answer, nil
}

// GetNode returns a node by id or host name.
func (c *Cluster) GetNode(_ context.Context, r *controlpb.GetNodeRequest) (*controlpb.GetNodeResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, err := c.findNodeLocked(r.GetNode())
	return &controlpb.GetNodeResponse{Node: proto.CloneOf(v)}, err
}

// UpdateNode replaces a node's spec; a drained node's tasks are gone at once.
func (c *Cluster) UpdateNode(_ context.Context, r *controlpb.UpdateNodeRequest) (*controlpb.UpdateNodeResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, err := c.findNodeLocked(r.GetNode())
	if err != nil {
		return nil, err
	}
	v.GetNode().Spec = proto.CloneOf(r.GetSpec())
	if r.GetSpec().GetAvailability() == clusterpb.NodeSpec_AVAILABILITY_DRAIN {
		for _, t := range c.tasks {
			if t.GetNodeId() == v.GetNode().GetId() {
				t.Status.State = clusterpb.TaskState_TASK_STATE_SHUTDOWN
			}
		}
	}
	return &controlpb.UpdateNodeResponse{Node: proto.CloneOf(v.GetNode())}, nil
}

// RemoveNode checks that the node is there.
func (c *Cluster) RemoveNode(_ context.Context, r *controlpb.RemoveNodeRequest) (*controlpb.RemoveNodeResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, err := c.findNodeLocked(r.GetNode())
	return &controlpb.RemoveNodeResponse{Id: v.GetNode().GetId()}, err
}

// GetCluster returns the cluster's settings.
func (c *Cluster) GetCluster(context.Context, *controlpb.GetClusterRequest) (*controlpb.GetClusterResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &controlpb.GetClusterResponse{Cluster: &clusterpb.Cluster{Id: "cluster", Version: 3, Spec: proto.CloneOf(c.spec)}}, nil
}

// UpdateCluster replaces the cluster's settings.
func (c *Cluster) UpdateCluster(_ context.Context, r *controlpb.UpdateClusterRequest) (*controlpb.UpdateClusterResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spec = proto.CloneOf(r.GetSpec())
	return &controlpb.UpdateClusterResponse{Cluster: &clusterpb.Cluster{Id: "cluster", Version: 4, Spec: r.GetSpec()}}, nil
}

// GetJoinToken returns a token of the role.
func (c *Cluster) GetJoinToken(_ context.Context, r *controlpb.GetJoinTokenRequest) (*controlpb.GetJoinTokenResponse, error) {
	return &controlpb.GetJoinTokenResponse{Token: tokenOf(r.GetRole()), Addr: "192.0.2.1:2377"}, nil
}

// RotateJoinToken returns the same token again.
func (c *Cluster) RotateJoinToken(_ context.Context, r *controlpb.RotateJoinTokenRequest) (*controlpb.RotateJoinTokenResponse, error) {
	return &controlpb.RotateJoinTokenResponse{Token: tokenOf(r.GetRole()), Addr: "192.0.2.1:2377"}, nil
}

func tokenOf(role clusterpb.NodeRole) string {
	if role == clusterpb.NodeRole_NODE_ROLE_MANAGER {
		return "MSTR-1-digest-manager"
	}
	return "MSTR-1-digest-worker"
}
