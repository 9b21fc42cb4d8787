package rollout

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Begin returns the progress of a rollout that begins now, which is one back to
// an earlier spec or not. The updater fills in the rest.
func Begin(rollback bool, message string, now time.Time) *clusterpb.UpdateStatus {
	next := &clusterpb.UpdateStatus{State: updating, StartedAt: timestamppb.New(now), Message: message}
	if rollback {
		next.State = rollbackStarted
	}
	return next
}

// The steps below are the updater's. Each returns the next status and leaves u
// as it is.

// Await lets the canaries, which have all proved themselves, wait for approval.
func Await(u *clusterpb.UpdateStatus, message string) *clusterpb.UpdateStatus {
	next := proto.CloneOf(u)
	next.State, next.Message = canaries, message
	return next
}

// Proceed takes further slots after the canaries were promoted.
func Proceed(u *clusterpb.UpdateStatus) *clusterpb.UpdateStatus {
	next := proto.CloneOf(u)
	if AwaitsPromotion(u.GetState()) {
		next.State = updating
	}
	return next
}

// Reconsider goes back from waiting for approval to making canaries: one was
// lost with its node, or other ones are asked for, or none.
func Reconsider(u *clusterpb.UpdateStatus) *clusterpb.UpdateStatus {
	next := Proceed(u)
	next.Message = ""
	return next
}

// Respecified is the rollout of old, whose spec becomes next without another one
// beginning. Canaries that waited for approval wait no more when others are asked
// for: whoever promotes them now would promote what did not run.
func Respecified(old *clusterpb.Service, next *clusterpb.ServiceSpec) *clusterpb.UpdateStatus {
	u, was := old.GetUpdate(), old.GetSpec()
	switch {
	case was.GetUpdate().GetCanary() == next.GetUpdate().GetCanary() &&
		was.GetReplicated().GetReplicas() == next.GetReplicated().GetReplicas():
		return u
	case u.GetPromoted():
		return u
	case AwaitsPromotion(u.GetState()):
		return Reconsider(u)
	case u.GetPausedFrom() == canaries:
		u = proto.CloneOf(u)
		u.PausedFrom = updating
	}
	return u
}

// Approve promotes the canaries as the service's policy says, and proceeds.
func Approve(u *clusterpb.UpdateStatus) *clusterpb.UpdateStatus {
	next := Proceed(u)
	next.Promoted, next.Message = true, "canaries promoted"
	return next
}

// GiveUp pauses a rollout of which too much failed.
func GiveUp(u *clusterpb.UpdateStatus, why string) *clusterpb.UpdateStatus {
	what := "update"
	if IsRollback(u.GetState()) {
		what = "rollback"
	}
	return pause(u, what+" paused: "+why)
}

// turnedBack begins what a rollback says that nobody asked for.
const turnedBack = "rolled back: "

// TurnBack is a rollback that takes the place of the failed rollout u. Its
// version makes sure that u has not changed meanwhile.
func TurnBack(u *clusterpb.UpdateStatus, why string, now time.Time) *clusterpb.UpdateStatus {
	return &clusterpb.UpdateStatus{
		State: rollbackStarted, StartedAt: timestamppb.New(now), Message: turnedBack + why, Version: u.GetVersion(),
	}
}

// Strand pauses where it is a rollout that cannot turn back, since the earlier
// spec is not to be had any more. u is what TurnBack returned.
func Strand(u *clusterpb.UpdateStatus, why error) *clusterpb.UpdateStatus {
	next := proto.CloneOf(u)
	next.State, next.PausedFrom = paused, updating // the spec is still the update's: only that can go on
	next.Message = "cannot roll back: " + why.Error()
	return next
}

// Complete ends a rollout all of whose slots are done or given up.
func Complete(u *clusterpb.UpdateStatus, now time.Time) *clusterpb.UpdateStatus {
	next := proto.CloneOf(u)
	next.State, next.Message = completed, "update completed"
	if IsRollback(u.GetState()) {
		next.State, next.Message = rollbackCompleted, "rollback completed"
	}
	if n := Failed(u); n > 0 {
		next.Message += fmt.Sprintf(", %d of %d slots failed", n, max(int(u.GetSlots()), n))
	}
	if why, ok := strings.CutPrefix(u.GetMessage(), turnedBack); ok {
		next.Message += ", after: " + why
	}
	next.CompletedAt = timestamppb.New(now)
	return next
}

func pause(u *clusterpb.UpdateStatus, message string) *clusterpb.UpdateStatus {
	next := proto.CloneOf(u)
	next.State, next.PausedFrom = paused, u.GetState()
	if IsRollback(u.GetState()) {
		next.State = rollbackPaused
	}
	next.Message = message
	return next
}
