package service

import (
	"context"

	"google.golang.org/protobuf/proto"

	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/id"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// CreateService stores a new service; its tasks follow.
func (s *Server) CreateService(ctx context.Context, r *controlpb.CreateServiceRequest) (*controlpb.CreateServiceResponse, error) {
	svc, err := s.write(ctx, true, func(st *state.State) (*raftpb.Change, error) {
		if err := spec.ValidateService(r.GetSpec()); err != nil {
			return nil, err
		}
		// Before registries are asked about a service that is refused anyhow.
		next := id.New()
		if err := st.CheckServiceName(r.GetSpec().GetName(), next); err != nil {
			return nil, err
		}
		want := proto.CloneOf(r.GetSpec())
		images, err := s.resolve(ctx, st, nil, want, r.GetResolve())
		if err != nil {
			return nil, err
		}
		return state.PutService(&raftpb.PutService{Id: next, Spec: want, Images: images}), nil
	})
	if err != nil {
		return nil, err
	}
	return &controlpb.CreateServiceResponse{Service: svc, Warnings: warnings(r.GetSpec())}, nil
}
