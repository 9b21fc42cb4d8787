package controlapi

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/id"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// ListServices returns every service with how many of its tasks run.
func (s *Server) ListServices(context.Context, *controlpb.ListServicesRequest) (*controlpb.ListServicesResponse, error) {
	st := s.Store.State()
	resp := &controlpb.ListServicesResponse{}
	for svc := range st.Services() {
		view := &controlpb.ServiceView{Service: credential.Redact(svc), Desired: svc.GetSpec().GetReplicated().GetReplicas()}
		for t := range st.TasksOf(svc.GetId()) {
			if lifecycle.Serving(t) && !t.GetCanary() {
				view.Running++
			}
		}
		resp.Services = append(resp.Services, view)
	}
	return resp, nil
}

// GetService returns one service.
func (s *Server) GetService(_ context.Context, r *controlpb.GetServiceRequest) (*controlpb.GetServiceResponse, error) {
	svc, err := findService(s.Store.State(), r.GetService())
	if err != nil {
		return nil, err
	}
	return &controlpb.GetServiceResponse{Service: credential.Redact(svc)}, nil
}

// CreateService stores a new service; its tasks follow.
func (s *Server) CreateService(ctx context.Context, r *controlpb.CreateServiceRequest) (*controlpb.CreateServiceResponse, error) {
	request := call.RequestID(ctx)
	if earlier, ok := s.answered(request); ok {
		if earlier.Err != nil {
			return nil, earlier.Err
		}
		svc, err := findService(s.Store.State(), earlier.ObjectID)
		return &controlpb.CreateServiceResponse{Service: credential.Redact(svc)}, err
	}
	if err := spec.ValidateService(r.GetSpec()); err != nil {
		return nil, err
	}
	want := proto.CloneOf(r.GetSpec())
	if other, ok := s.Store.State().ServiceByName(want.GetName()); ok {
		return nil, fmt.Errorf("a service named %q exists already (%s): %w", want.GetName(), id.Short(other.GetId()), errdefs.ErrAlreadyExists)
	}
	warnings := hostPortWarnings(want)
	images, err := s.resolve(ctx, nil, want, r.GetResolve())
	if err != nil {
		return nil, err
	}
	svc, err := s.put(ctx, request, &raftpb.PutService{Id: id.New(), Spec: want, Images: images})
	if err != nil {
		return nil, err
	}
	return &controlpb.CreateServiceResponse{Service: credential.Redact(svc), Warnings: warnings}, nil
}

// RemoveService deletes the service; its tasks stop in their own time.
func (s *Server) RemoveService(ctx context.Context, r *controlpb.RemoveServiceRequest) (*controlpb.RemoveServiceResponse, error) {
	request := call.RequestID(ctx)
	if earlier, ok := s.answered(request); ok {
		return &controlpb.RemoveServiceResponse{Id: earlier.ObjectID}, earlier.Err
	}
	svc, err := findService(s.Store.State(), r.GetService())
	if err != nil {
		return nil, err
	}
	if _, err := s.Store.ProposeRequest(ctx, request, state.DeleteService(svc.GetId())); err != nil {
		return nil, err
	}
	return &controlpb.RemoveServiceResponse{Id: svc.GetId()}, nil
}

// put stores the service; the state machine gives it its published ports.
func (s *Server) put(ctx context.Context, request string, put *raftpb.PutService) (*clusterpb.Service, error) {
	if _, err := s.Store.ProposeRequest(ctx, request, state.PutService(put)); err != nil {
		return nil, err
	}
	stored, ok := s.Store.State().Service(put.GetId())
	if !ok {
		return nil, fmt.Errorf("service %s was removed meanwhile: %w", put.GetSpec().GetName(), errdefs.ErrNotFound)
	}
	return stored, nil
}
