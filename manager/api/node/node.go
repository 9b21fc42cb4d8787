// Package node answers what users ask of the nodes.
package node

import (
	"cmp"
	"context"

	"github.com/muster/muster/manager/api/lookup"
	"github.com/muster/muster/manager/api/once"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/page"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// Members is what the nodes' calls need of the raft membership.
type Members interface {
	// Leader returns the node that leads and its raft address, empty when none does.
	Leader() (nodeID, addr string)
	// Reachable tells for each voter whether the leader reaches it.
	Reachable() map[string]bool
	// RemoveMember takes a voter out; it refuses to lose the quorum.
	RemoveMember(ctx context.Context, nodeID string) error
}

// Server implements NodeService.
type Server struct {
	controlpb.UnimplementedNodeServiceServer

	Store   once.Store
	Members Members
	// Gossip tells what membership gossip says of each node, by node id.
	Gossip func() map[string]string
}

var _ controlpb.NodeServiceServer = (*Server)(nil)

// ListNodes returns every node as the leader sees it, a page at a time.
func (s *Server) ListNodes(_ context.Context, r *controlpb.ListNodesRequest) (*controlpb.ListNodesResponse, error) {
	p, err := page.Of("nodes", r)
	if err != nil {
		return nil, err
	}
	resp := &controlpb.ListNodesResponse{}
	resp.Nodes, resp.NextPageToken = page.Cut(p, s.Store.State().Nodes(), (*clusterpb.Node).GetId, s.viewer())
	return resp, nil
}

// GetNode returns one node.
func (s *Server) GetNode(_ context.Context, r *controlpb.GetNodeRequest) (*controlpb.GetNodeResponse, error) {
	n, err := lookup.Node(s.Store.State(), r.GetNode())
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
	written, err := once.Write[*clusterpb.Node]{
		Pinned: r.GetVersion() != 0,
		Decide: func(st *state.State) (*raftpb.Change, error) {
			n, err := lookup.Node(st, r.GetNode())
			if err != nil {
				return nil, err
			}
			if err := spec.ValidateNode(r.GetSpec()); err != nil {
				return nil, err
			}
			return state.PutNode(&raftpb.PutNode{
				Id: n.GetId(), Version: cmp.Or(r.GetVersion(), n.GetVersion()),
				Spec: r.GetSpec(), Role: n.GetRole(), RaftAddr: n.GetRaftAddr(),
			}), nil
		},
		Answer: lookup.Node,
	}.Do(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	return &controlpb.UpdateNodeResponse{Node: written}, nil
}
