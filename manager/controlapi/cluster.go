package controlapi

import (
	"cmp"
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/jointoken"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// GetCluster returns the cluster without its secrets.
func (s *Server) GetCluster(context.Context, *controlpb.GetClusterRequest) (*controlpb.GetClusterResponse, error) {
	return &controlpb.GetClusterResponse{Cluster: s.Store.State().Cluster()}, nil
}

// UpdateCluster replaces the settings.
func (s *Server) UpdateCluster(ctx context.Context, r *controlpb.UpdateClusterRequest) (*controlpb.UpdateClusterResponse, error) {
	request := call.RequestID(ctx)
	if earlier, ok := s.answered(request); ok {
		return &controlpb.UpdateClusterResponse{Cluster: s.Store.State().Cluster()}, earlier.Err
	}
	if err := spec.ValidateCluster(r.GetSpec()); err != nil {
		return nil, err
	}
	version := cmp.Or(r.GetVersion(), s.Store.State().Cluster().GetVersion())
	if _, err := s.Store.ProposeRequest(ctx, request, state.PutClusterSpec(version, r.GetSpec())); err != nil {
		return nil, err
	}
	return &controlpb.UpdateClusterResponse{Cluster: s.Store.State().Cluster()}, nil
}

// GetJoinToken returns the token with which a node joins in a role.
func (s *Server) GetJoinToken(_ context.Context, r *controlpb.GetJoinTokenRequest) (*controlpb.GetJoinTokenResponse, error) {
	token, addr, err := s.joinToken(r.GetRole())
	return &controlpb.GetJoinTokenResponse{Token: token, Addr: addr}, err
}

// RotateJoinToken makes the tokens of a role that were given out before
// worthless for new nodes.
func (s *Server) RotateJoinToken(ctx context.Context, r *controlpb.RotateJoinTokenRequest) (*controlpb.RotateJoinTokenResponse, error) {
	request := call.RequestID(ctx)
	if _, ok := s.answered(request); !ok {
		rotate := state.RotateJoinSecret(r.GetRole(), jointoken.NewSecret())
		if _, err := s.Store.ProposeRequest(ctx, request, rotate); err != nil {
			return nil, err
		}
	}
	token, addr, err := s.joinToken(r.GetRole())
	return &controlpb.RotateJoinTokenResponse{Token: token, Addr: addr}, err
}

func (s *Server) joinToken(role clusterpb.NodeRole) (token, addr string, err error) {
	st := s.Store.State()
	secret := secretOf(st.Secrets(), role)
	if secret == nil {
		return "", "", fmt.Errorf("role %s: use worker or manager: %w", role, errdefs.ErrInvalidArgument)
	}
	token, err = jointoken.Make(st.Cluster().GetRootCa(), *secret)
	if err != nil {
		return "", "", err
	}
	_, addr = s.Members.Leader()
	return token, addr, nil
}

func secretOf(s *clusterpb.ClusterSecrets, role clusterpb.NodeRole) *string {
	switch role {
	case clusterpb.NodeRole_NODE_ROLE_WORKER:
		return &s.WorkerSecret
	case clusterpb.NodeRole_NODE_ROLE_MANAGER:
		return &s.ManagerSecret
	default:
		return nil
	}
}
