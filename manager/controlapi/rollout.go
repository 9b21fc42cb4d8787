package controlapi

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
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
		return &controlpb.ControlRolloutResponse{Service: redact(svc)}, nil
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
	return &controlpb.ControlRolloutResponse{Service: redact(svc)}, nil
}

// steer returns the rollout's status after the user's action.
func steer(svc *clusterpb.Service, action controlpb.ControlRolloutRequest_Action, now time.Time) (*clusterpb.UpdateStatus, error) {
	name, status := svc.GetSpec().GetName(), proto.CloneOf(svc.GetUpdate())
	if status == nil {
		status = &clusterpb.UpdateStatus{}
	}
	refuse := func(why string) (*clusterpb.UpdateStatus, error) {
		return nil, fmt.Errorf("service %s: %s: %w", name, why, errdefs.ErrFailedPrecondition)
	}
	paused := status.State == clusterpb.UpdateStatus_STATE_PAUSED || status.State == clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED
	switch action {
	case controlpb.ControlRolloutRequest_ACTION_PAUSE:
		if paused {
			return refuse("the rollout is paused already")
		}
		if !underWay(status) {
			return refuse("no rollout is under way to pause")
		}
		status.PausedFrom = status.State
		status.State = clusterpb.UpdateStatus_STATE_PAUSED
		if status.PausedFrom == clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED {
			status.State = clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED
		}
		status.Message = "paused by the user"
	case controlpb.ControlRolloutRequest_ACTION_RESUME:
		if !paused {
			return refuse("no rollout is paused")
		}
		resume(status, now)
	case controlpb.ControlRolloutRequest_ACTION_PROMOTE:
		switch {
		case status.State == clusterpb.UpdateStatus_STATE_CANARY:
		case underWay(status) && slot.Canarying(svc):
			return refuse("its canaries have not all run for long enough yet")
		default:
			return refuse("no canary waits to be promoted")
		}
		status.Promoted = true
		status.Message = "promoted by the user"
	default:
		return nil, fmt.Errorf("rollout action %s: %w", action, errdefs.ErrInvalidArgument)
	}
	return status, nil
}

func underWay(s *clusterpb.UpdateStatus) bool {
	switch s.GetState() {
	case clusterpb.UpdateStatus_STATE_UPDATING, clusterpb.UpdateStatus_STATE_CANARY, clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED:
		return true
	default:
		return false
	}
}

// resume goes back to where the rollout was paused. Slots whose failure
// paused it are tried again, and those that were begun have all of their
// progress deadline before them.
func resume(status *clusterpb.UpdateStatus, now time.Time) {
	from := status.GetPausedFrom()
	if from == clusterpb.UpdateStatus_STATE_UNSPECIFIED {
		from = clusterpb.UpdateStatus_STATE_UPDATING
		if status.GetState() == clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED {
			from = clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED
		}
	}
	kept := status.GetProgress()[:0]
	for _, p := range status.GetProgress() {
		if p.GetFailed() {
			continue
		}
		if p.GetDoneAt() == nil {
			p.StartedAt = timestamppb.New(now)
		}
		kept = append(kept, p)
	}
	status.Progress = kept
	status.State, status.PausedFrom = from, clusterpb.UpdateStatus_STATE_UNSPECIFIED
	status.Message = "resumed by the user"
}
