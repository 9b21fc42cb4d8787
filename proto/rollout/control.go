package rollout

import (
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// The steps in this file are the user's. Each returns the next status of the
// service's rollout, or errdefs.ErrFailedPrecondition and why it cannot be done.

// Pause stops a rollout that is under way.
func Pause(svc *clusterpb.Service) (*clusterpb.UpdateStatus, error) {
	switch state := svc.GetUpdate().GetState(); {
	case IsPaused(state):
		return nil, cannot("the rollout is paused already")
	case !IsUnderWay(state):
		return nil, cannot("no rollout is under way to pause")
	}
	return pause(svc.GetUpdate(), "paused by the user"), nil
}

// Resume goes back to where the rollout was paused. Slots whose failure
// paused it are tried again, what failed meanwhile is forgiven, and slots that
// were begun have all of their progress deadline before them.
func Resume(svc *clusterpb.Service, now time.Time) (*clusterpb.UpdateStatus, error) {
	if !IsPaused(svc.GetUpdate().GetState()) {
		return nil, cannot("no rollout is paused")
	}
	next := proto.CloneOf(svc.GetUpdate())
	next.State, next.PausedFrom = pausedFrom(next), never
	next.Message, next.ResumedAt = "resumed by the user", timestamppb.New(now)
	kept := next.GetProgress()[:0]
	for _, p := range next.GetProgress() {
		if p.GetFailed() {
			continue
		}
		kept = append(kept, p)
	}
	next.Progress = kept
	return next, nil
}

func pausedFrom(u *clusterpb.UpdateStatus) State {
	switch {
	case !HasNone(u.GetPausedFrom()):
		return u.GetPausedFrom()
	case IsRollback(u.GetState()):
		return rollbackStarted
	}
	return updating
}

// Promote lets the canaries that wait for it take over.
func Promote(svc *clusterpb.Service) (*clusterpb.UpdateStatus, error) {
	switch state := svc.GetUpdate().GetState(); {
	case AwaitsPromotion(state):
	case IsUnderWay(state) && IsAtCanaries(svc):
		return nil, cannot("its canaries have not all run for long enough yet")
	default:
		return nil, cannot("no canary waits to be promoted")
	}
	next := proto.CloneOf(svc.GetUpdate())
	next.Promoted = true
	next.Message = "promoted by the user"
	return next, nil
}

func cannot(why string) error { return fmt.Errorf("%s: %w", why, errdefs.ErrFailedPrecondition) }
