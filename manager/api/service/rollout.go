package service

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/raftstore/state"
)

// ControlRollout pauses, resumes, promotes or restarts.
func (s *Server) ControlRollout(ctx context.Context, r *controlpb.ControlRolloutRequest) (*controlpb.ControlRolloutResponse, error) {
	var svc *clusterpb.Service
	var err error
	if r.GetAction() == controlpb.ControlRolloutRequest_ACTION_RESTART {
		svc, err = s.restart(ctx, r.GetService())
	} else {
		svc, err = s.steer(ctx, r.GetService(), r.GetAction())
	}
	if err != nil {
		return nil, err
	}
	return &controlpb.ControlRolloutResponse{Service: svc}, nil
}

// restart replaces all tasks by others of the same spec.
func (s *Server) restart(ctx context.Context, ref string) (*clusterpb.Service, error) {
	return s.edit(ctx, ref, 0, func(svc *clusterpb.Service, next *raftpb.PutService) error {
		next.Restarts = rollout.NextRestart(svc)
		return nil
	})
}

// steer changes where a rollout stands.
func (s *Server) steer(ctx context.Context, ref string, action controlpb.ControlRolloutRequest_Action) (*clusterpb.Service, error) {
	return s.write(ctx, false, func(st *state.State) (*raftpb.Change, error) {
		svc, err := find(st, ref, 0)
		if err != nil {
			return nil, err
		}
		status, err := steered(svc, action, time.Now())
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", svc.GetSpec().GetName(), err)
		}
		return state.SetUpdateStatus(svc, status), nil
	})
}

func steered(svc *clusterpb.Service, action controlpb.ControlRolloutRequest_Action, now time.Time) (*clusterpb.UpdateStatus, error) {
	switch action {
	case controlpb.ControlRolloutRequest_ACTION_PAUSE:
		return rollout.Pause(svc)
	case controlpb.ControlRolloutRequest_ACTION_RESUME:
		return rollout.Resume(svc, now)
	case controlpb.ControlRolloutRequest_ACTION_PROMOTE:
		return rollout.Promote(svc)
	default:
		return nil, fmt.Errorf("rollout action %s: %w", action, errdefs.ErrInvalidArgument)
	}
}
