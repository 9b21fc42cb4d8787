package cluster

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/manager/api/once"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/jointoken"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// GetJoinToken returns the token with which a node joins in a role.
func (s *Server) GetJoinToken(_ context.Context, r *controlpb.GetJoinTokenRequest) (*controlpb.GetJoinTokenResponse, error) {
	token, err := tokenOf(s.Store.State(), r.GetRole())
	if err != nil {
		return nil, err
	}
	_, addr := s.Members.Leader()
	return &controlpb.GetJoinTokenResponse{Token: token, Addr: addr}, nil
}

// RotateJoinToken makes the tokens of a role that were given out before
// worthless for new nodes.
func (s *Server) RotateJoinToken(ctx context.Context, r *controlpb.RotateJoinTokenRequest) (*controlpb.RotateJoinTokenResponse, error) {
	token, err := once.Write[string]{
		Decide: func(st *state.State) (*raftpb.Change, error) {
			if _, err := secretOf(st.Secrets(), r.GetRole()); err != nil {
				return nil, err
			}
			return state.RotateJoinSecret(r.GetRole(), jointoken.NewSecret()), nil
		},
		Answer: func(st *state.State, _ string) (string, error) { return tokenOf(st, r.GetRole()) },
	}.Do(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	_, addr := s.Members.Leader()
	return &controlpb.RotateJoinTokenResponse{Token: token, Addr: addr}, nil
}

func tokenOf(st *state.State, role clusterpb.NodeRole) (string, error) {
	secret, err := secretOf(st.Secrets(), role)
	if err != nil {
		return "", err
	}
	return jointoken.Make(st.Cluster().GetRootCa(), secret)
}

func secretOf(s *clusterpb.ClusterSecrets, role clusterpb.NodeRole) (string, error) {
	switch role {
	case clusterpb.NodeRole_NODE_ROLE_WORKER:
		return s.GetWorkerSecret(), nil
	case clusterpb.NodeRole_NODE_ROLE_MANAGER:
		return s.GetManagerSecret(), nil
	default:
		return "", fmt.Errorf("role %s: use worker or manager: %w", role, errdefs.ErrInvalidArgument)
	}
}
