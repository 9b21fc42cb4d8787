// Package cluster answers what users ask of the cluster as a whole.
package cluster

import (
	"cmp"
	"context"

	"github.com/muster/muster/manager/api/once"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// Members is what the cluster's calls need of the raft membership.
type Members interface {
	// Leader returns the node that leads and its raft address, empty when none does.
	Leader() (nodeID, addr string)
}

// Server implements ClusterService.
type Server struct {
	controlpb.UnimplementedClusterServiceServer

	Store   once.Store
	Members Members
}

var _ controlpb.ClusterServiceServer = (*Server)(nil)

// GetCluster returns the cluster; its secrets are another object.
func (s *Server) GetCluster(context.Context, *controlpb.GetClusterRequest) (*controlpb.GetClusterResponse, error) {
	return &controlpb.GetClusterResponse{Cluster: s.Store.State().Cluster()}, nil
}

// UpdateCluster replaces the settings.
func (s *Server) UpdateCluster(ctx context.Context, r *controlpb.UpdateClusterRequest) (*controlpb.UpdateClusterResponse, error) {
	written, err := once.Write[*clusterpb.Cluster]{
		Pinned: r.GetVersion() != 0,
		Decide: func(st *state.State) (*raftpb.Change, error) {
			if err := spec.ValidateCluster(r.GetSpec()); err != nil {
				return nil, err
			}
			return state.PutClusterSpec(cmp.Or(r.GetVersion(), st.Cluster().GetVersion()), r.GetSpec()), nil
		},
		Answer: func(st *state.State, _ string) (*clusterpb.Cluster, error) { return st.Cluster(), nil },
	}.Do(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	return &controlpb.UpdateClusterResponse{Cluster: written}, nil
}
