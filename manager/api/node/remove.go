package node

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/manager/api/lookup"
	"github.com/muster/muster/manager/api/once"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// RemoveNode forgets a node and revokes its certificate.
func (s *Server) RemoveNode(ctx context.Context, r *controlpb.RemoveNodeRequest) (*controlpb.RemoveNodeResponse, error) {
	id, err := once.Write[string]{
		Decide: func(st *state.State) (*raftpb.Change, error) {
			n, err := lookup.Node(st, r.GetNode())
			if err != nil {
				return nil, err
			}
			leader, _ := s.Members.Leader()
			if err := removable(n, n.GetId() == leader, r.GetForce()); err != nil {
				return nil, err
			}
			return state.ForgetNode(st, n.GetId(), time.Now()), nil
		},
		Before: s.takeVote,
		Answer: once.ID,
	}.Do(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	return &controlpb.RemoveNodeResponse{Id: id}, nil
}

// removable refuses to remove a node that the cluster would miss.
func removable(n *clusterpb.Node, leads, force bool) error {
	name := n.GetDescription().GetHostname()
	switch {
	case leads:
		return fmt.Errorf("node %s leads the cluster: run \"muster swarm leave\" on it: %w", name, errdefs.ErrFailedPrecondition)
	case lifecycle.Connected(n) && !force:
		return fmt.Errorf("node %s is connected: run \"muster swarm leave\" on it, or remove it with --force: %w", name, errdefs.ErrFailedPrecondition)
	case n.GetRole() == clusterpb.NodeRole_NODE_ROLE_MANAGER && !force:
		return fmt.Errorf("node %s is a manager: remove it with --force: %w", name, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// Forget takes a node's vote, entry and certificate from it.
func (s *Server) Forget(ctx context.Context, requestID string, n *clusterpb.Node) error {
	st := s.Store.State()
	change := state.ForgetNode(st, n.GetId(), time.Now())
	if err := s.takeVote(ctx, st, change); err != nil {
		return err
	}
	_, err := s.Store.ProposeRequest(ctx, state.Request{ID: requestID}, change)
	return err
}

// takeVote takes its vote from a node that is to be removed. It comes first: a
// manager that the state does not know any more could not be removed again, if
// the vote were refused or the leader lost in between. It may be repeated: a node
// that is no longer a voter stays none.
func (s *Server) takeVote(ctx context.Context, st *state.State, remove *raftpb.Change) error {
	n, _ := st.Node(remove.GetDeleteNode().GetId())
	if n.GetRole() != clusterpb.NodeRole_NODE_ROLE_MANAGER {
		return nil
	}
	if err := s.Members.RemoveMember(ctx, n.GetId()); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}
