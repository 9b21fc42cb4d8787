package update

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/control"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/raftstore/state"
)

// newsDelay is how long after a change of leader it may take until every node
// that is not lost has told the new one what happened meanwhile: as long as
// the dispatcher waits for them.
const newsDelay = 6 * time.Second

// maxStep is how much progress in bytes is written down at once: a service may
// have more slots than fit one log entry, and all of them may move together.
const maxStep = 256 << 10

// maxReasons is how many failed slots keep their reason in the progress, which
// is part of the service and must not outgrow it.
const maxReasons = 100

// Controller returns the updater of a leader who leads since then. Its keys
// are services; id names new tasks.
func Controller(id func() string, since time.Time) *control.Controller {
	return &control.Controller{
		Name:   "update",
		Keys:   control.ServiceKeys,
		KeysOf: control.ServicesOf,
		Plan: func(s *state.State, key string, now time.Time) ([]*raftpb.Change, time.Duration) {
			svc, ok := s.Service(key)
			if !ok || svc.GetUpdate() == nil {
				return nil, 0
			}
			p := newPlanner(svc, slices.Collect(s.TasksOf(key)), s.Node, id, now)
			p.since = since
			p.plan()
			return p.result()
		},
	}
}

// planner makes the next step of one service's rollout.
type planner struct {
	svc   *clusterpb.Service
	cfg   *clusterpb.UpdateConfig
	nodes slot.Nodes
	id    func() string
	now   time.Time
	// since is when the leader took over; the zero time is long ago.
	since time.Time

	slots []slot.Slot
	dates *slot.Dates

	// status starts as the service's and becomes what it should be.
	status *clusterpb.UpdateStatus
	// reasons is how many failed slots have theirs in status.
	reasons int
	// back is the spec to return to, when this step is a rollback.
	back    *clusterpb.SpecRecord
	changes []*raftpb.Change
	again   time.Duration
}

func newPlanner(svc *clusterpb.Service, tasks []*clusterpb.Task, nodes slot.Nodes, id func() string, now time.Time) *planner {
	p := &planner{
		svc: svc, cfg: rollout.Config(svc), nodes: nodes, id: id, now: now,
		slots: slot.Group(slices.Values(tasks)), dates: slot.NewDates(svc, nodes),
		status: proto.CloneOf(svc.GetUpdate()),
	}
	for _, e := range p.status.GetProgress() {
		if e.GetErr() != "" {
			p.reasons++
		}
	}
	return p
}

// plan is the rollout in order of its steps. Each looks at the state only, so
// it does not matter in which of them the last leader stopped.
func (p *planner) plan() {
	p.dismiss()
	switch is := p.status.GetState(); {
	case rollout.IsPaused(is):
		p.release() // slots that were begun come to their end
		return
	case rollout.IsOver(is):
		if rollout.Failed(p.status) > 0 { // else no old task is left
			p.release()
			p.retry()
		}
		return
	}
	p.open()
	p.watch()
	if p.tooManyFailures() {
		p.giveUp()
	} else {
		p.promote()
	}
	if p.back != nil {
		return // the next step is one of the rollback
	}
	p.release()
	if rollout.IsUnderWay(p.status.GetState()) {
		p.retry()
	}
	if rollout.TakesSlots(p.status.GetState()) {
		p.begin()
		p.complete()
	}
}

// open counts what there is to change when the rollout has just begun.
func (p *planner) open() {
	if p.status.GetSlots() > 0 || len(p.status.GetProgress()) > 0 {
		return
	}
	for _, s := range p.slots {
		if p.dirty(s) {
			p.status.Slots++
		}
	}
	if p.status.GetStartedAt() == nil {
		p.status.StartedAt = timestamppb.New(p.now)
	}
}

// result puts the progress before the changes it is about: progress that has
// moved on meanwhile refuses them.
func (p *planner) result() ([]*raftpb.Change, time.Duration) {
	switch {
	case p.back != nil:
		return []*raftpb.Change{state.RollBack(p.svc.GetId(), p.svc.GetSpecVersion(), p.status, p.back)}, p.again
	case !proto.Equal(p.status, p.svc.GetUpdate()):
		step, whole := rollout.Portion(p.svc.GetUpdate(), p.status, maxStep)
		status := state.SetUpdateStatus(p.svc, step)
		if !whole {
			return []*raftpb.Change{status}, time.Millisecond
		}
		return append([]*raftpb.Change{status}, p.changes...), p.again
	}
	return p.changes, p.again
}

// wake asks to be called again at a time.
func (p *planner) wake(at time.Time) {
	if in := max(at.Sub(p.now), time.Millisecond); p.again == 0 || in < p.again {
		p.again = in
	}
}
