package update

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
)

// watch brings the entries of the slots that were begun up to date.
func (p *planner) watch() {
	byNumber := make(map[uint32]slot.Slot, len(p.slots))
	for _, s := range p.slots {
		byNumber[s.Number] = s
	}
	// The service may have been scaled down meanwhile.
	p.status.Progress = slices.DeleteFunc(p.status.GetProgress(), func(e *clusterpb.SlotUpdate) bool {
		_, ok := byNumber[e.GetSlot()]
		return !ok
	})
	for _, e := range p.status.GetProgress() {
		if !e.GetFailed() {
			p.watchSlot(e, byNumber[e.GetSlot()])
		}
	}
}

func (p *planner) watchSlot(e *clusterpb.SlotUpdate, s slot.Slot) {
	if t, why := p.failure(e, s); t != nil {
		p.fail(e, t, why)
		return
	}
	t := p.present(s)
	if t == nil || !lifecycle.Serving(t) {
		if e.GetDoneAt() != nil { // it was lost or moved: the next one has to prove itself too
			e.StartedAt, e.DoneAt = timestamppb.New(p.now), nil
		}
		e.RunningAt = nil
		p.checkDeadline(e, s)
		return
	}
	since := runningSince(t)
	e.RunningAt = timestamppb.New(since)
	if e.GetDoneAt() != nil {
		return
	}
	if end := p.trialEnd(since); end.After(p.now) {
		p.wake(end)
		return
	}
	e.DoneAt = timestamppb.New(p.now)
}

// failure returns the slot's first task of the new spec whose failure counts
// against the rollout, and why. What is lost with a node does not count.
func (p *planner) failure(e *clusterpb.SlotUpdate, s slot.Slot) (*clusterpb.Task, string) {
	for _, t := range slices.Backward(s.Tasks) {
		switch {
		case t.GetSpecVersion() != p.svc.GetSpecVersion():
		case lifecycle.EndedByItself(t.GetStatus().GetState()) && p.counts(e, t):
			return t, slot.Cause(t)
		case lifecycle.Serving(t) && t.GetStatus().GetHealth().GetState() == clusterpb.HealthStatus_STATE_UNHEALTHY:
			return t, "unhealthy"
		}
	}
	return nil, ""
}

// counts reports whether the end of t falls into the slot's trial, which lasts
// from when it was begun until the rollout is over: what a rollout has finished
// must not fall while it goes on to the next.
func (p *planner) counts(e *clusterpb.SlotUpdate, t *clusterpb.Task) bool {
	began, ended := begun(p.status, e), t.GetStatus().GetAppliedAt().AsTime()
	return !t.GetCreatedAt().AsTime().Before(began) || ended.After(began)
}

// begun is when the slot was begun, or gone on with.
func begun(u *clusterpb.UpdateStatus, e *clusterpb.SlotUpdate) time.Time {
	return latest(e.GetStartedAt().AsTime(), u.GetResumedAt().AsTime())
}

// trialEnd is when a task that runs since then has proved itself: after its
// monitor period, and not before a leader who did not see it start has heard of
// all that happened while nobody led.
func (p *planner) trialEnd(since time.Time) time.Time {
	end := since.Add(spec.Monitor(p.cfg))
	if since.Before(p.since) {
		end = latest(end, p.since.Add(newsDelay))
	}
	return end
}

// checkDeadline fails a slot whose task takes too long to run. While the task
// is held, its predecessor's own time to stop comes on top.
func (p *planner) checkDeadline(e *clusterpb.SlotUpdate, s slot.Slot) {
	allowed := spec.ProgressDeadline(p.cfg)
	since, t := begun(p.status, e), p.present(s)
	if t != nil {
		since = latest(since, t.GetCreatedAt().AsTime(), t.GetDesiredAt().AsTime(), t.GetStartAfter().AsTime())
		if t.GetDesired() == lifecycle.Ready && t.GetHold() {
			old := pod.Main(p.svc.GetSpec().GetTask())
			if before := s.Find(t.GetPredecessor()); before != nil {
				old = pod.Main(before.GetSpec())
			}
			allowed += spec.StopGracePeriod(old) + spec.DrainTimeout(old)
		}
	}
	if end := latest(since.Add(allowed), p.since.Add(newsDelay)); end.After(p.now) {
		p.wake(end)
		return
	}
	p.fail(e, t, fmt.Sprintf("not running after %s: %s", allowed, stuck(t)))
}

func (p *planner) fail(e *clusterpb.SlotUpdate, t *clusterpb.Task, why string) {
	e.Failed, e.TaskId = true, t.GetId()
	if p.reasons++; p.reasons <= maxReasons {
		e.Err = why
	}
	e.DoneAt = timestamppb.New(p.now)
}

// stuck says where a task is.
func stuck(t *clusterpb.Task) string {
	if t == nil {
		return "it has no task to run"
	}
	text := lifecycle.Name(t.GetStatus().GetState())
	for _, more := range []string{t.GetStatus().GetErr(), t.GetStatus().GetMessage()} {
		if more != "" {
			return text + ": " + more
		}
	}
	return text
}

// runningSince is when a serving task was first seen to run.
func runningSince(t *clusterpb.Task) time.Time {
	if t.GetRunningAt() != nil {
		return t.GetRunningAt().AsTime()
	}
	return t.GetStatus().GetAppliedAt().AsTime()
}

func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}
