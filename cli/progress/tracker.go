package progress

import (
	"slices"
	"strings"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/proto/spec"
)

// Goal is what a command waits for.
type Goal struct {
	// Version the service had once the command's call was done. Older views,
	// as a manager that lags may send, are passed over.
	Version uint64
	// Rollout is the version of the rollout's status then, likewise.
	Rollout uint64
	// Before is the service before the call; nil when it is new, or when the
	// call was about the rollout itself. A rollout that had ended then is not
	// what this command waits for.
	Before *clusterpb.Service
	// Rollback tells that a completed rollback is what was asked for.
	Rollback bool
}

// routeLimit is how long the nodes are waited for to route to the tasks as they
// are: as long as a task that should stop waits for them.
const routeLimit = 5 * time.Second

// Tracker looks at one view of a service after the other.
type Tracker struct {
	goal Goal

	// running are the ids of the tasks that ran in all slots in the last
	// view, and since is when that set was first seen.
	running string
	since   time.Time
	// unrouted is since when only the nodes' routing is waited for.
	unrouted time.Time
}

// NewTracker returns a tracker that has seen nothing.
func NewTracker(goal Goal) *Tracker { return &Tracker{goal: goal} }

// Look judges a view. It keeps nothing but how long the tasks have been
// running, by the clock that now is from.
func (t *Tracker) Look(v *controlpb.FollowServiceResponse, now time.Time) Report {
	svc, tasks := v.GetService(), v.GetTasks()
	if svc == nil {
		return Report{Verdict: Removed}
	}
	current := t.current(svc)
	r := Report{
		Slots:   slots(svc, tasks, current, now),
		Desired: int(svc.GetSpec().GetReplicated().GetReplicas()),
		Phase:   svc.GetUpdate().GetState(),
		Message: svc.GetUpdate().GetMessage(),
		Failure: failure(svc, tasks),
	}
	done, gaveUp := 0, false
	var ids []string
	for _, s := range r.Slots {
		if s.Canary {
			continue
		}
		if s.Done {
			done++
			ids = append(ids, s.TaskID)
			gaveUp = gaveUp || s.State > lifecycle.Running
		}
		switch {
		case s.Done && s.State == lifecycle.Running:
			r.Running++
		case s.Before:
			r.Before++
		}
	}
	r.Headway = headway(svc, r)
	if svc.GetVersion() < t.goal.Version || svc.GetUpdate().GetVersion() < t.goal.Rollout {
		return r
	}
	r.Verdict, r.Again = t.judge(svc, done == r.Desired, gaveUp, strings.Join(ids, " "), now)
	if r.Verdict == Waiting || v.GetRouted() {
		t.unrouted = time.Time{}
		return r
	}
	if t.unrouted.IsZero() {
		t.unrouted = now
	}
	if left := routeLimit - now.Sub(t.unrouted); left > 0 {
		r.Verdict, r.Again = Waiting, left
	}
	r.Unrouted = r.Verdict != Waiting
	return r
}

// judge decides. full tells that nothing is to be waited for in any slot.
func (t *Tracker) judge(svc *clusterpb.Service, full, gaveUp bool, ids string, now time.Time) (Verdict, time.Duration) {
	var state rollout.State // none
	if !t.past(svc) {
		state = svc.GetUpdate().GetState()
	}
	switch {
	case rollout.TakesSlots(state):
		return Waiting, 0
	case rollout.AwaitsPromotion(state):
		// They promote themselves, but for a service that has no replicas to run them beside.
		itself := svc.GetSpec().GetUpdate().GetPromote() == clusterpb.UpdateConfig_PROMOTE_AUTO && svc.GetSpec().GetReplicated().GetReplicas() > 0
		if svc.GetUpdate().GetPromoted() || itself {
			return Waiting, 0
		}
		return Canary, 0
	case rollout.IsPaused(state):
		return Paused, 0
	case rollout.IsRollback(state) && !t.goal.Rollback:
		return RolledBack, 0
	case !rollout.HasNone(state) && rollout.Failed(svc.GetUpdate()) > 0:
		return Flawed, 0 // what runs in them at this moment has failed before
	}
	if !full {
		t.running, t.since = "", time.Time{}
		return Waiting, 0
	}
	if gaveUp {
		return Ended, 0
	}
	if !rollout.HasNone(state) {
		return Converged, 0 // the cluster has watched the tasks for the monitor period
	}
	if t.since.IsZero() || t.running != ids {
		t.running, t.since = ids, now
	}
	if left := spec.Monitor(svc.GetSpec().GetUpdate()) - now.Sub(t.since); left > 0 {
		return Waiting, left
	}
	return Converged, 0
}

// past reports whether the rollout that svc tells of had come to rest before
// the command began.
func (t *Tracker) past(svc *clusterpb.Service) bool {
	before := t.goal.Before.GetUpdate()
	return t.goal.Before != nil && !rollout.IsUnderWay(before.GetState()) &&
		before.GetState() == svc.GetUpdate().GetState() &&
		before.GetStartedAt().AsTime().Equal(svc.GetUpdate().GetStartedAt().AsTime())
}

// current returns which tasks run what was asked for. While an old rollout
// rests, tasks of both sides of it do.
func (t *Tracker) current(svc *clusterpb.Service) func(*clusterpb.Task) bool {
	if t.goal.Before != nil && svc.GetSpecVersion() == t.goal.Before.GetSpecVersion() && t.past(svc) {
		return func(*clusterpb.Task) bool { return true }
	}
	return func(task *clusterpb.Task) bool {
		// What differs in placement only is left alone where it fits.
		return task.GetSpecVersion() == svc.GetSpecVersion() ||
			task.GetRestarts() == svc.GetRestarts() && spec.SamePorts(task.GetPorts(), svc.GetPorts()) &&
				spec.SameButPlacement(task.GetSpec(), svc.GetSpec().GetTask(), task.GetImages(), svc.GetImages())
	}
}

// headway counts how far a phase of a rollout has got.
func headway(svc *clusterpb.Service, r Report) int {
	n := r.Running
	for _, s := range svc.GetUpdate().GetProgress() {
		if s.GetRunningAt() != nil {
			n++
		}
		if s.GetDoneAt() != nil {
			n++
		}
	}
	return n
}

// failure finds the task that explains a rollout that does not get on: the
// last one it counted, else the last one that failed.
func failure(svc *clusterpb.Service, tasks []*clusterpb.Task) (f Failure) {
	var at time.Time
	for _, s := range svc.GetUpdate().GetProgress() {
		done := s.GetDoneAt().AsTime()
		if s.GetFailed() && (s.GetErr() != "" || f.TaskID == "") && !done.Before(at) {
			at = done
			f = Failure{TaskID: s.GetTaskId(), Slot: s.GetSlot(), Err: s.GetErr()}
		}
	}
	if f.TaskID != "" {
		i := slices.IndexFunc(tasks, func(t *clusterpb.Task) bool { return t.GetId() == f.TaskID })
		if i >= 0 {
			f.NodeID = tasks[i].GetNodeId()
		}
		return f
	}
	var last *clusterpb.Task
	for _, t := range tasks {
		if lifecycle.IsFailure(t.GetStatus().GetState()) && (last == nil || lifecycle.NewestFirst(t, last) < 0) {
			last = t
		}
	}
	if last == nil {
		return Failure{}
	}
	return Failure{TaskID: last.GetId(), NodeID: last.GetNodeId(), Slot: last.GetSlot(), Err: last.GetStatus().GetErr()}
}
