package controlapi

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// ListNodes returns every node as the leader sees it.
func (s *Server) ListNodes(context.Context, *controlpb.ListNodesRequest) (*controlpb.ListNodesResponse, error) {
	resp := &controlpb.ListNodesResponse{}
	view := s.viewer()
	for n := range s.Store.State().Nodes() {
		resp.Nodes = append(resp.Nodes, view(n))
	}
	return resp, nil
}

// GetNode returns one node.
func (s *Server) GetNode(_ context.Context, r *controlpb.GetNodeRequest) (*controlpb.GetNodeResponse, error) {
	n, err := findNode(s.Store.State(), r.GetNode())
	if err != nil {
		return nil, err
	}
	return &controlpb.GetNodeResponse{Node: s.viewer()(n)}, nil
}

// viewer returns a function that adds to a node what is not in the state.
func (s *Server) viewer() func(*clusterpb.Node) *controlpb.NodeView {
	leader, _ := s.Members.Leader()
	reachable, gossip := s.Members.Reachable(), s.Gossip()
	return func(n *clusterpb.Node) *controlpb.NodeView {
		v := &controlpb.NodeView{Node: n, Leader: n.GetId() == leader, Gossip: gossip[n.GetId()]}
		if n.GetRole() == clusterpb.NodeRole_NODE_ROLE_MANAGER {
			v.Manager = controlpb.NodeView_REACHABILITY_UNREACHABLE
			if reachable[n.GetId()] {
				v.Manager = controlpb.NodeView_REACHABILITY_REACHABLE
			}
		}
		return v
	}
}

// UpdateNode replaces a node's spec.
func (s *Server) UpdateNode(ctx context.Context, r *controlpb.UpdateNodeRequest) (*controlpb.UpdateNodeResponse, error) {
	request := call.RequestID(ctx)
	if earlier, ok := s.answered(request); ok {
		if earlier.Err != nil {
			return nil, earlier.Err
		}
		n, err := findNode(s.Store.State(), earlier.ObjectID)
		return &controlpb.UpdateNodeResponse{Node: n}, err
	}
	n, err := findNode(s.Store.State(), r.GetNode())
	if err != nil {
		return nil, err
	}
	if err := spec.ValidateNode(r.GetSpec()); err != nil {
		return nil, err
	}
	put := &raftpb.PutNode{
		Id: n.GetId(), Version: cmp.Or(r.GetVersion(), n.GetVersion()),
		Spec: r.GetSpec(), Role: n.GetRole(), RaftAddr: n.GetRaftAddr(),
	}
	if _, err := s.Store.ProposeRequest(ctx, request, state.PutNode(put)); err != nil {
		return nil, err
	}
	n, err = findNode(s.Store.State(), n.GetId())
	return &controlpb.UpdateNodeResponse{Node: n}, err
}

// RemoveNode forgets a node and revokes its certificate.
func (s *Server) RemoveNode(ctx context.Context, r *controlpb.RemoveNodeRequest) (*controlpb.RemoveNodeResponse, error) {
	request := call.RequestID(ctx)
	if earlier, ok := s.answered(request); ok {
		return &controlpb.RemoveNodeResponse{Id: earlier.ObjectID}, earlier.Err
	}
	n, err := findNode(s.Store.State(), r.GetNode())
	if err != nil {
		return nil, err
	}
	name := n.GetDescription().GetHostname()
	leader, _ := s.Members.Leader()
	switch {
	case n.GetId() == leader:
		return nil, fmt.Errorf("node %s leads the cluster: run \"muster swarm leave\" on it: %w", name, errdefs.ErrFailedPrecondition)
	case n.GetStatus().GetState() == clusterpb.NodeStatus_STATE_READY && !r.GetForce():
		return nil, fmt.Errorf("node %s is ready: run \"muster swarm leave\" on it, or remove it with --force: %w", name, errdefs.ErrFailedPrecondition)
	case n.GetRole() == clusterpb.NodeRole_NODE_ROLE_MANAGER && !r.GetForce():
		return nil, fmt.Errorf("node %s is a manager: remove it with --force: %w", name, errdefs.ErrFailedPrecondition)
	}
	if err := s.Forget(ctx, request, n); err != nil {
		return nil, err
	}
	return &controlpb.RemoveNodeResponse{Id: n.GetId()}, nil
}

// Forget takes a node's vote, entry and certificate from it.
func (s *Server) Forget(ctx context.Context, request string, n *clusterpb.Node) error {
	if n.GetRole() == clusterpb.NodeRole_NODE_ROLE_MANAGER {
		if err := s.Members.RemoveMember(ctx, n.GetId()); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	cluster := s.Store.State().Cluster()
	// A certificate is back-dated by an hour and may have been renewed just now.
	expires := time.Now().Add(spec.CertExpiry(cluster.GetSpec()))
	_, err := s.Store.ProposeRequest(ctx, request, state.DeleteNode(n.GetId(), timestamppb.New(expires)))
	return err
}
