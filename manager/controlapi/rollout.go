package controlapi

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/raftstore/state"
)

// ControlRollout pauses, resumes, promotes or restarts.
func (s *Server) ControlRollout(ctx context.Context, r *controlpb.ControlRolloutRequest) (*controlpb.ControlRolloutResponse, error) {
	if r.GetAction() == controlpb.ControlRolloutRequest_ACTION_RESTART {
		svc, err := s.change(ctx, r.GetService(), func(_ *clusterpb.Service, next *raftpb.PutService) error {
			next.Spec.Task.ForceUpdate++
			return nil
		})
		if err != nil {
			return nil, err
		}
		return &controlpb.ControlRolloutResponse{Service: credential.Redact(svc)}, nil
	}
	svc, err := s.onCurrent(ctx, r.GetService(), func(svc *clusterpb.Service) (*raftpb.Change, error) {
		status, err := steer(svc, r.GetAction(), time.Now())
		if err != nil {
			return nil, err
		}
		return state.SetUpdateStatus(svc.GetId(), svc.GetSpecVersion(), status), nil
	})
	if err != nil {
		return nil, err
	}
	return &controlpb.ControlRolloutResponse{Service: credential.Redact(svc)}, nil
}

// steer returns the rollout's status after the user's action.
func steer(svc *clusterpb.Service, action controlpb.ControlRolloutRequest_Action, now time.Time) (next *clusterpb.UpdateStatus, err error) {
	switch action {
	case controlpb.ControlRolloutRequest_ACTION_PAUSE:
		next, err = rollout.Pause(svc)
	case controlpb.ControlRolloutRequest_ACTION_RESUME:
		next, err = rollout.Resume(svc, now)
	case controlpb.ControlRolloutRequest_ACTION_PROMOTE:
		next, err = rollout.Promote(svc)
	default:
		return nil, fmt.Errorf("rollout action %s: %w", action, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", svc.GetSpec().GetName(), err)
	}
	return next, nil
}
