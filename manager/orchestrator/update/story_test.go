package update_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/manager/control"
	"github.com/muster/muster/manager/control/controltest"
	"github.com/muster/muster/manager/orchestrator/enforce"
	"github.com/muster/muster/manager/orchestrator/reaper"
	"github.com/muster/muster/manager/orchestrator/replicated"
	"github.com/muster/muster/manager/orchestrator/restart"
	"github.com/muster/muster/manager/orchestrator/slot"
	"github.com/muster/muster/manager/orchestrator/update"
	"github.com/muster/muster/manager/scheduler"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/raftstore/state"
)

// story is a cluster of three nodes with one service and all controllers, on a
// clock that only moves when nothing else does.
type story struct {
	*controltest.World

	t tb
	// behave is what a task does instead of what a perfect worker would.
	behave func(t *clusterpb.Task, next clusterpb.TaskState) clusterpb.TaskState
	// since is when the leader took over.
	since time.Time
	// check is called after every step.
	check func()
	// seen is the rollout as bounded saw it last.
	seen *clusterpb.UpdateStatus
	// ended is the spec_version of the last rollout that unpromoted saw the end of.
	ended uint64
	// taken is what the rollout has taken, kept by spread.
	taken taken
	// minServing and maxBusy are extremes seen since the last reset.
	minServing, maxBusy int
}

// tb is what tests of testing and of rapid have in common.
type tb interface {
	controltest.TB
	Errorf(format string, args ...any)
}

// start runs a service of image v1 to the end of its creation.
func start(t tb, replicas uint32, cfg *clusterpb.UpdateConfig, change ...func(*clusterpb.ServiceSpec)) *story {
	t.Helper()
	s := &story{World: controltest.New(t), t: t}
	for _, n := range []string{"a", "b", "c"} {
		s.AddNode(n)
	}
	s.Put("web", func(spec *clusterpb.ServiceSpec) {
		spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: replicas}}
		spec.Update = cfg
		for _, f := range change {
			f(spec)
		}
	})
	s.run()
	if got := s.serving("v1"); got != int(replicas) {
		t.Fatalf("%d tasks serve after creation, want %d", got, replicas)
	}
	s.reset()
	return s
}

// controllers are made anew each time, as after a change of leader.
func (s *story) controllers() []*control.Controller {
	return []*control.Controller{
		replicated.Controller(s.ID), update.Controller(s.ID, s.since), enforce.Controller(s.ID),
		restart.Controller(), scheduler.Controller(), reaper.Controller(),
	}
}

// run goes on until nothing moves any more, or for an hour.
func (s *story) run() {
	s.t.Helper()
	s.until(s.Now.Add(time.Hour), func() bool { return false })
}

// until goes on up to a time, or until a condition holds.
func (s *story) until(end time.Time, done func() bool) {
	s.t.Helper()
	for range 100_000 {
		s.note()
		if done() {
			return
		}
		busy := s.Turn(s.controllers()...)
		if done() {
			return
		}
		if busy = s.work() || busy; busy {
			continue
		}
		at, ok := s.Due()
		if !ok || at.After(end) {
			s.Now = end
			return
		}
		s.Now = at
	}
	s.t.Fatalf("it does not come to rest")
}

// work lets every worker do one step of each of its tasks.
func (s *story) work() (busy bool) {
	for t := range s.State.Tasks() {
		next := controltest.Next(t, s.State.Node)
		if s.behave != nil && next != t.GetStatus().GetState() || s.behave != nil && next == lifecycle.Running {
			next = s.behave(t, next)
		}
		if next != t.GetStatus().GetState() {
			s.Observe(t, next)
			busy = true
			s.note()
		}
	}
	return busy
}

func (s *story) reset() { s.minServing, s.maxBusy = 1<<30, 0 }

func (s *story) note() {
	svc, ok := s.State.Service("web")
	if !ok {
		return
	}
	s.minServing = min(s.minServing, s.serving(""))
	busy := 0
	for _, e := range svc.GetUpdate().GetProgress() {
		if e.GetDoneAt() == nil {
			busy++
		}
	}
	s.maxBusy = max(s.maxBusy, busy)
	if s.check != nil {
		s.check()
	}
}

// serving counts slots that a task of an image serves; "" is any.
func (s *story) serving(image string) (n int) {
	for _, sl := range slot.Group(s.State.TasksOf("web")) {
		for _, t := range sl.Tasks {
			if lifecycle.Serving(t) && (image == "" || pod.Main(t.GetSpec()).GetImage() == image) {
				n++
				break
			}
		}
	}
	return n
}

func (s *story) image(image string) {
	s.Put("web", func(spec *clusterpb.ServiceSpec) { pod.Main(spec.Task).Image = image })
}

func (s *story) status() *clusterpb.UpdateStatus { return s.Service("web").GetUpdate() }

// expect compares the state of the rollout, what serves, and the message.
func (s *story) expect(want clusterpb.UpdateStatus_State, serving, message string) {
	s.t.Helper()
	images := make(map[string]int)
	for t := range s.State.TasksOf("web") {
		if lifecycle.Serving(t) {
			images[pod.Main(t.GetSpec()).GetImage()]++
		}
	}
	var got []string
	for image, n := range images {
		got = append(got, fmt.Sprintf("%d %s", n, image))
	}
	slices.SortFunc(got, func(a, b string) int { return strings.Compare(a[strings.Index(a, " "):], b[strings.Index(b, " "):]) })
	if s.status().GetState() != want {
		s.t.Errorf("rollout is %s (%s), want %s", s.status().GetState(), s.status().GetMessage(), want)
	}
	if strings.Join(got, ", ") != serving {
		s.t.Errorf("serving %s, want %s", strings.Join(got, ", "), serving)
	}
	if !strings.Contains(s.status().GetMessage(), message) {
		s.t.Errorf("message %q, want %q in it", s.status().GetMessage(), message)
	}
}

// failing makes tasks of an image fail right after they were seen running.
func (s *story) failing(image string, slots ...uint32) {
	s.behave = func(t *clusterpb.Task, next clusterpb.TaskState) clusterpb.TaskState {
		if next == lifecycle.Running && pod.Main(t.GetSpec()).GetImage() == image && (len(slots) == 0 || slices.Contains(slots, t.GetSlot())) {
			if t.GetStatus().GetState() == lifecycle.Running {
				return lifecycle.Failed
			}
		}
		return next
	}
}

// steer is what the control API does for pause, resume and promote.
func (s *story) steer(change func(*clusterpb.UpdateStatus)) {
	s.t.Helper()
	status := proto.CloneOf(s.status())
	change(status)
	s.Apply(state.SetUpdateStatus(s.Service("web"), status))
}

func (s *story) resume(u *clusterpb.UpdateStatus) {
	s.t.Helper()
	next, err := rollout.Resume(s.Service("web"), s.Now)
	if err != nil {
		s.t.Fatalf("resume: %v", err)
	}
	proto.Reset(u)
	proto.Merge(u, next)
}

func seconds(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Second) }

const (
	updating          = clusterpb.UpdateStatus_STATE_UPDATING
	paused            = clusterpb.UpdateStatus_STATE_PAUSED
	completed         = clusterpb.UpdateStatus_STATE_COMPLETED
	rollbackPaused    = clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED
	rollbackCompleted = clusterpb.UpdateStatus_STATE_ROLLBACK_COMPLETED
	canaryWaits       = clusterpb.UpdateStatus_STATE_CANARY

	startFirst = clusterpb.UpdateConfig_ORDER_START_FIRST
	goOn       = clusterpb.UpdateConfig_FAILURE_ACTION_CONTINUE
	rollBack   = clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK
)
