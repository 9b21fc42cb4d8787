package controlapi

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/manager/orchestrator/update"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// UpdateService replaces a service's spec; tasks that differ are rolled.
func (s *Server) UpdateService(ctx context.Context, r *controlpb.UpdateServiceRequest) (*controlpb.UpdateServiceResponse, error) {
	request := call.RequestID(ctx)
	if svc, ok, err := s.answeredService(request); ok {
		return &controlpb.UpdateServiceResponse{Service: credential.Redact(svc)}, err
	}
	st := s.Store.State()
	svc, err := findService(st, r.GetService())
	if err != nil {
		return nil, err
	}
	if err := unmoved(svc, r.GetVersion()); err != nil {
		return nil, err
	}
	if err := spec.ValidateService(r.GetSpec()); err != nil {
		return nil, err
	}
	want := proto.CloneOf(r.GetSpec())
	if want.GetName() != svc.GetSpec().GetName() {
		return nil, fmt.Errorf("service %s cannot be renamed to %q: %w", svc.GetSpec().GetName(), want.GetName(), errdefs.ErrInvalidArgument)
	}
	credential.Keep(want, svc.GetSpec())
	images, err := s.resolve(ctx, svc, want, r.GetResolve())
	if err != nil {
		return nil, err
	}
	resp := &controlpb.UpdateServiceResponse{Warnings: hostPortWarnings(want)}
	if r.GetPlan() {
		next := proto.CloneOf(svc)
		next.Spec, next.Images = want, images
		resp.Service = credential.Redact(next)
		resp.Plan = update.Preview(svc, next, slices.Collect(st.TasksOf(svc.GetId())), st.Node)
		return resp, nil
	}
	stored, err := s.put(ctx, request, &raftpb.PutService{Id: svc.GetId(), Version: svc.GetVersion(), Spec: want, Images: images})
	if err != nil {
		return nil, err
	}
	resp.Service = credential.Redact(stored)
	return resp, nil
}

// ScaleService sets how many replicas a service has and touches nothing else.
func (s *Server) ScaleService(ctx context.Context, r *controlpb.ScaleServiceRequest) (*controlpb.ScaleServiceResponse, error) {
	svc, err := s.change(ctx, r.GetService(), func(_ *clusterpb.Service, next *raftpb.PutService) error {
		next.Spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: r.GetReplicas()}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &controlpb.ScaleServiceResponse{Service: credential.Redact(svc)}, nil
}

// RollbackService puts an earlier spec back, by default the one before.
func (s *Server) RollbackService(ctx context.Context, r *controlpb.RollbackServiceRequest) (*controlpb.RollbackServiceResponse, error) {
	svc, err := s.change(ctx, r.GetService(), func(svc *clusterpb.Service, next *raftpb.PutService) error {
		if err := unmoved(svc, r.GetVersion()); err != nil {
			return err
		}
		earlier, err := rollout.Earlier(svc, r.GetTo())
		if err != nil {
			return err
		}
		next.Spec, next.Images = earlier.GetSpec(), earlier.GetImages()
		next.Rollback, next.Message = true, "rollback asked for by the user"
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &controlpb.RollbackServiceResponse{Service: credential.Redact(svc)}, nil
}

// changeRaces bounds how often a change is made again on a newer version.
const changeRaces = 10

// change edits a service on whatever version is current. edit is given a copy
// of the spec in next.
func (s *Server) change(ctx context.Context, ref string, edit func(svc *clusterpb.Service, next *raftpb.PutService) error) (*clusterpb.Service, error) {
	return s.onCurrent(ctx, ref, func(svc *clusterpb.Service) (*raftpb.Change, error) {
		next := &raftpb.PutService{
			Id: svc.GetId(), Version: svc.GetVersion(), Spec: proto.CloneOf(svc.GetSpec()), Images: svc.GetImages(),
		}
		if err := edit(svc, next); err != nil {
			return nil, err
		}
		if err := spec.ValidateService(next.GetSpec()); err != nil {
			return nil, err
		}
		return state.PutService(next), nil
	})
}

// onCurrent makes a change from the current version of a service, again when
// another writer was faster. Each attempt has an id that follows from the
// request's: who repeats the request, because its answer was lost, goes on
// behind the attempts that lost a race.
func (s *Server) onCurrent(ctx context.Context, ref string, decide func(*clusterpb.Service) (*raftpb.Change, error)) (*clusterpb.Service, error) {
	request := call.RequestID(ctx)
	for attempt := 0; ; attempt++ {
		svc, raced, err := s.attempt(ctx, attemptID(request, attempt), ref, decide)
		if !raced || attempt == changeRaces {
			return svc, err
		}
	}
}

func attemptID(request string, attempt int) string {
	if attempt == 0 {
		return request
	}
	return fmt.Sprintf("%s/%d", request, attempt)
}

// attempt makes the change once; raced tells that it was refused because the
// service had just changed.
func (s *Server) attempt(ctx context.Context, request, ref string, decide func(*clusterpb.Service) (*raftpb.Change, error)) (svc *clusterpb.Service, raced bool, err error) {
	if svc, ok, err := s.answeredService(request); ok {
		return svc, errdefs.IsConflict(err), err
	}
	svc, err = findService(s.Store.State(), ref)
	if err != nil {
		return nil, false, err
	}
	change, err := decide(svc)
	if err != nil {
		return nil, false, err
	}
	if _, err := s.Store.ProposeRequest(ctx, request, change); err != nil {
		return nil, errdefs.IsConflict(err), err
	}
	svc, err = findService(s.Store.State(), svc.GetId())
	return svc, false, err
}

// answeredService is answered for calls that return a service.
func (s *Server) answeredService(request string) (svc *clusterpb.Service, ok bool, err error) {
	earlier, ok := s.answered(request)
	if !ok || earlier.Err != nil {
		return nil, ok, earlier.Err
	}
	svc, err = findService(s.Store.State(), earlier.ObjectID)
	return svc, true, err
}

// unmoved refuses a write made from another version of the service.
func unmoved(svc *clusterpb.Service, version uint64) error {
	if version == 0 || version == svc.GetVersion() {
		return nil
	}
	return fmt.Errorf("service %s is at version %d, not %d: it changed meanwhile; look at it again: %w",
		svc.GetSpec().GetName(), svc.GetVersion(), version, errdefs.ErrConflict)
}
