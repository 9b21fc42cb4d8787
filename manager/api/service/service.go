// Package service answers what users ask of services: it checks what they ask,
// decides on one change, and tells what became of it.
package service

import (
	"context"

	"github.com/muster/muster/manager/api/lookup"
	"github.com/muster/muster/manager/api/once"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/page"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// Store is what the services' calls need of the replicated state.
type Store interface {
	once.Store
	Subscribe() *raftstore.Subscription
}

// Server implements ServiceService.
type Server struct {
	controlpb.UnimplementedServiceServiceServer

	Store  Store
	Images Images
	// Preview returns what the orchestrators would do to each slot of svc if it
	// were next.
	Preview func(st *state.State, svc, next *clusterpb.Service) []*controlpb.PlannedSlot
	// LowWaterMark returns the lowest index of the state that the kernels of all
	// live nodes hold, and what is closed when it rises.
	LowWaterMark func() (mark uint64, risen <-chan struct{})
}

var _ controlpb.ServiceServiceServer = (*Server)(nil)

// ListServices returns every service with how many of its tasks run, a page at
// a time.
func (s *Server) ListServices(_ context.Context, r *controlpb.ListServicesRequest) (*controlpb.ListServicesResponse, error) {
	p, err := page.Of("services", r)
	if err != nil {
		return nil, err
	}
	st := s.Store.State()
	resp := &controlpb.ListServicesResponse{}
	resp.Services, resp.NextPageToken = page.Cut(p, st.Services(), (*clusterpb.Service).GetId, func(svc *clusterpb.Service) *controlpb.ServiceView {
		return view(st, svc)
	})
	return resp, nil
}

func view(st *state.State, svc *clusterpb.Service) *controlpb.ServiceView {
	v := &controlpb.ServiceView{Service: credential.Redact(svc), Desired: svc.GetSpec().GetReplicated().GetReplicas()}
	for t := range st.TasksOf(svc.GetId()) {
		if lifecycle.Serving(t) && !t.GetCanary() {
			v.Running++
		}
	}
	return v
}

// GetService returns one service.
func (s *Server) GetService(_ context.Context, r *controlpb.GetServiceRequest) (*controlpb.GetServiceResponse, error) {
	svc, err := shown(s.Store.State(), r.GetService())
	if err != nil {
		return nil, err
	}
	return &controlpb.GetServiceResponse{Service: svc}, nil
}

// RemoveService deletes the service; its tasks stop in their own time.
func (s *Server) RemoveService(ctx context.Context, r *controlpb.RemoveServiceRequest) (*controlpb.RemoveServiceResponse, error) {
	id, err := once.Write[string]{
		Decide: func(st *state.State) (*raftpb.Change, error) {
			svc, err := lookup.Service(st, r.GetService())
			if err != nil {
				return nil, err
			}
			return state.DeleteService(svc.GetId()), nil
		},
		Answer: once.ID,
	}.Do(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	return &controlpb.RemoveServiceResponse{Id: id}, nil
}

// write makes a write that is answered with the service.
func (s *Server) write(ctx context.Context, pinned bool, decide func(*state.State) (*raftpb.Change, error)) (*clusterpb.Service, error) {
	return once.Write[*clusterpb.Service]{Pinned: pinned, Decide: decide, Answer: shown}.Do(ctx, s.Store)
}

// shown is a service without what only nodes may see.
func shown(st *state.State, ref string) (*clusterpb.Service, error) {
	svc, err := lookup.Service(st, ref)
	if err != nil {
		return nil, err
	}
	return credential.Redact(svc), nil
}
