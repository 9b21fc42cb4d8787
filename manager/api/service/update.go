package service

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/api/lookup"
	"github.com/muster/muster/manager/api/once"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// UpdateService replaces a service's spec; tasks that differ are rolled. As a
// plan it tells what that would do, and does nothing.
func (s *Server) UpdateService(ctx context.Context, r *controlpb.UpdateServiceRequest) (*controlpb.UpdateServiceResponse, error) {
	resp := &controlpb.UpdateServiceResponse{Warnings: warnings(r.GetSpec())}
	var err error
	if r.GetPlan() {
		resp.Service, resp.Plan, err = s.plan(ctx, r)
	} else {
		resp.Service, err = s.write(ctx, r.GetVersion() != 0, func(st *state.State) (*raftpb.Change, error) {
			_, put, err := s.next(ctx, st, r)
			return state.PutService(put), err
		})
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// plan tells what an update would do.
func (s *Server) plan(ctx context.Context, r *controlpb.UpdateServiceRequest) (*clusterpb.Service, []*controlpb.PlannedSlot, error) {
	st := s.Store.State()
	svc, put, err := s.next(ctx, st, r)
	if err != nil {
		return nil, nil, err
	}
	// Only the state machine knows which ports it would give, and what it refuses.
	after, outcome := st.Apply(st.Index+1, &raftpb.Command{ProposedAt: timestamppb.Now(), Changes: []*raftpb.Change{state.PutService(put)}})
	if outcome.Err != nil {
		return nil, nil, outcome.Err
	}
	next, _ := after.Service(svc.GetId())
	return credential.Redact(next), s.Preview(st, svc, next), nil
}

// next is what an update puts in the place of svc.
func (s *Server) next(ctx context.Context, st *state.State, r *controlpb.UpdateServiceRequest) (svc *clusterpb.Service, put *raftpb.PutService, err error) {
	if svc, err = find(st, r.GetService(), r.GetVersion()); err != nil {
		return nil, nil, err
	}
	if err := spec.ValidateService(r.GetSpec()); err != nil {
		return nil, nil, err
	}
	want := proto.CloneOf(r.GetSpec())
	if want.GetName() != svc.GetSpec().GetName() {
		return nil, nil, fmt.Errorf("service %s cannot be renamed to %q: %w", svc.GetSpec().GetName(), want.GetName(), errdefs.ErrInvalidArgument)
	}
	credential.Keep(want, svc.GetSpec())
	images, err := s.resolve(ctx, st, svc, want, r.GetResolve())
	if err != nil {
		return nil, nil, err
	}
	put = &raftpb.PutService{Id: svc.GetId(), Version: svc.GetVersion(), Spec: want, Images: images, Restarts: svc.GetRestarts()}
	if r.GetForce() {
		put.Restarts = rollout.NextRestart(svc)
	}
	return svc, put, nil
}

// find returns a service at the version that the user has seen; 0 is any.
func find(st *state.State, ref string, seen uint64) (*clusterpb.Service, error) {
	svc, err := lookup.Service(st, ref)
	if err != nil {
		return nil, err
	}
	return svc, once.CheckVersion("service "+svc.GetSpec().GetName(), svc.GetVersion(), seen)
}

// ScaleService sets how many replicas a service has and touches nothing else.
func (s *Server) ScaleService(ctx context.Context, r *controlpb.ScaleServiceRequest) (*controlpb.ScaleServiceResponse, error) {
	svc, err := s.edit(ctx, r.GetService(), 0, func(_ *clusterpb.Service, next *raftpb.PutService) error {
		next.Spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: r.GetReplicas()}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &controlpb.ScaleServiceResponse{Service: svc}, nil
}

// RollbackService puts an earlier spec back, by default the last one of other
// tasks that was rolled out whole.
func (s *Server) RollbackService(ctx context.Context, r *controlpb.RollbackServiceRequest) (*controlpb.RollbackServiceResponse, error) {
	var to uint64
	svc, err := s.edit(ctx, r.GetService(), r.GetVersion(), func(svc *clusterpb.Service, next *raftpb.PutService) error {
		earlier, err := rollout.Earlier(svc, r.GetTo())
		if err != nil {
			return err
		}
		next.Spec, next.Images, next.Restarts = earlier.GetSpec(), earlier.GetImages(), earlier.GetRestarts()
		to = earlier.GetNumber()
		next.Rollback, next.Message = true, fmt.Sprintf("rollback to number %d asked for by the user", to)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &controlpb.RollbackServiceResponse{Service: svc, To: to}, nil
}

// edit changes a service at the version the user has seen; 0 is whatever is
// current. change is given a copy of the spec in next.
func (s *Server) edit(
	ctx context.Context, ref string, seen uint64, change func(svc *clusterpb.Service, next *raftpb.PutService) error,
) (*clusterpb.Service, error) {
	return s.write(ctx, seen != 0, func(st *state.State) (*raftpb.Change, error) {
		svc, err := find(st, ref, seen)
		if err != nil {
			return nil, err
		}
		next := &raftpb.PutService{
			Id: svc.GetId(), Version: svc.GetVersion(), Spec: proto.CloneOf(svc.GetSpec()),
			Images: svc.GetImages(), Restarts: svc.GetRestarts(),
		}
		if err := change(svc, next); err != nil {
			return nil, err
		}
		return state.PutService(next), spec.ValidateService(next.GetSpec())
	})
}
