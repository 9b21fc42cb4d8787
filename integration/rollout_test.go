package integration_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/integration/cluster"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/worker/executor/executortest"
)

// The states of a rollout under short names.
const (
	updating          = clusterpb.UpdateStatus_STATE_UPDATING
	paused            = clusterpb.UpdateStatus_STATE_PAUSED
	completed         = clusterpb.UpdateStatus_STATE_COMPLETED
	rollbackCompleted = clusterpb.UpdateStatus_STATE_ROLLBACK_COMPLETED
	atCanary          = clusterpb.UpdateStatus_STATE_CANARY
)

// slow is an image that takes its time for everything.
func slow() executortest.Behaviour {
	return executortest.Behaviour{PrepareDelay: 300 * time.Millisecond, StartDelay: 200 * time.Millisecond, StopDelay: 400 * time.Millisecond}
}

// rollout is a service web whose tasks of image v1 serve.
type rollout struct {
	*cluster.Cluster
	t        *testing.T
	ctx      context.Context
	replicas int
	started  uint64 // the state in which the service was at rest
}

// roll runs the service and then f.
func roll(t *testing.T, replicas uint32, cfg *clusterpb.UpdateConfig, f func(r *rollout), edit ...func(*clusterpb.ServiceSpec)) {
	t.Helper()
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		c.Script("v1", slow())
		c.Script("v2", slow())
		c.CreateService("web", replicas, func(s *clusterpb.ServiceSpec) {
			s.Update = cfg
			s.Rollback = proto.CloneOf(cfg)
			s.Rollback.FailureAction = clusterpb.UpdateConfig_FAILURE_ACTION_PAUSE
			s.Rollback.Canary = 0
			for _, f := range edit {
				f(s)
			}
		})
		c.Eventually("the service to run", func() bool { return len(c.Serving("web")) == int(replicas) })
		time.Sleep(10 * time.Second)
		f(&rollout{Cluster: c, t: t, ctx: ctx, replicas: int(replicas), started: c.State().Index})
	})
}

// update starts an update to image v2.
func (r *rollout) update(edit ...func(*clusterpb.ServiceSpec)) {
	r.t.Helper()
	r.UpdateService("web", func(s *clusterpb.ServiceSpec) {
		pod.Main(s.Task).Image = "v2"
		for _, f := range edit {
			f(s)
		}
	})
}

func (r *rollout) state() clusterpb.UpdateStatus_State {
	return r.Service("web").GetUpdate().GetState()
}

// reach waits until the rollout is in a state.
func (r *rollout) reach(want clusterpb.UpdateStatus_State) {
	r.t.Helper()
	r.Within(30*time.Minute, "the rollout to be "+want.String(), func() bool { return r.state() == want })
}

// control pauses, resumes or promotes.
func (r *rollout) control(action controlpb.ControlRolloutRequest_Action) {
	r.t.Helper()
	if _, err := services(r.Control()).ControlRollout(r.ctx, &controlpb.ControlRolloutRequest{Service: "web", Action: action}); err != nil {
		r.t.Fatal(err)
	}
}

// images counts the serving tasks by image.
func (r *rollout) images() map[string]int {
	n := make(map[string]int)
	for _, t := range r.Serving("web") {
		n[pod.Main(t.GetSpec()).GetImage()]++
	}
	return n
}

// serve fails the test unless so many tasks of each image serve for a while.
func (r *rollout) serve(want map[string]int) {
	r.t.Helper()
	r.Eventually(fmt.Sprintf("%v to serve", want), func() bool { return cmp.Equal(want, r.images()) })
	time.Sleep(time.Minute)
	if diff := cmp.Diff(want, r.images()); diff != "" {
		r.t.Errorf("serving tasks by image (-want +got):\n%s", diff)
	}
}

// v2 returns how many tasks of image v2 each slot ever had.
func (r *rollout) v2() map[uint32]int {
	n, seen := make(map[uint32]int), make(map[string]bool)
	for s := range r.History() {
		for t := range s.Tasks() {
			if !seen[t.GetId()] && pod.Main(t.GetSpec()).GetImage() == "v2" {
				seen[t.GetId()] = true
				n[t.GetSlot()]++
			}
		}
	}
	return n
}

// least returns how few slots ever served since the service was at rest.
func (r *rollout) least() int {
	least := r.replicas
	for s := range r.History() {
		if s.Index < r.started {
			continue
		}
		serving := make(map[uint32]bool)
		for t := range s.Tasks() {
			if t.GetServiceName() == "web" && lifecycle.Serving(t) && !t.GetCanary() {
				serving[t.GetSlot()] = true
			}
		}
		least = min(least, len(serving))
	}
	return least
}

// once is a task of image v2 in each slot.
func once(slots int) map[uint32]int {
	n := make(map[uint32]int)
	for i := range slots {
		n[uint32(i+1)] = 1
	}
	return n
}

func seconds(s float64) *durationpb.Duration {
	return durationpb.New(time.Duration(s * float64(time.Second)))
}

// TestUpdate rolls every slot once, and never has fewer serving than the
// configuration allows.
func TestUpdate(t *testing.T) {
	tests := map[string]struct {
		cfg   *clusterpb.UpdateConfig
		least int
	}{
		"one at a time": {&clusterpb.UpdateConfig{Monitor: seconds(0)}, 5},
		"two at a time": {&clusterpb.UpdateConfig{Parallelism: proto.Uint32(2), Monitor: seconds(1), Delay: seconds(0.5)}, 4},
		"all at once":   {&clusterpb.UpdateConfig{Parallelism: proto.Uint32(0), Monitor: seconds(1)}, 0},
		"start-first":   {&clusterpb.UpdateConfig{Order: clusterpb.UpdateConfig_ORDER_START_FIRST, Parallelism: proto.Uint32(2), Monitor: seconds(1)}, 6},
		"start-first, all at once": {
			&clusterpb.UpdateConfig{Order: clusterpb.UpdateConfig_ORDER_START_FIRST, Parallelism: proto.Uint32(0)}, 6,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			roll(t, 6, tt.cfg, func(r *rollout) {
				r.update()
				r.reach(completed)
				r.serve(map[string]int{"v2": 6})
				if diff := cmp.Diff(once(6), r.v2()); diff != "" {
					t.Errorf("new tasks by slot (-want +got):\n%s", diff)
				}
				if got := r.least(); got < tt.least {
					t.Errorf("only %d slots served at a time, want %d", got, tt.least)
				}
			})
		})
	}
}

// TestUnchangedSlotsStay: what does not concern the tasks touches none.
func TestUnchangedSlotsStay(t *testing.T) {
	roll(t, 4, &clusterpb.UpdateConfig{}, func(r *rollout) {
		before := ids(r.Serving("web"))
		r.UpdateService("web", func(s *clusterpb.ServiceSpec) { s.Labels = map[string]string{"team": "a"} })
		time.Sleep(time.Minute)
		r.UpdateService("web", func(s *clusterpb.ServiceSpec) { s.Update = &clusterpb.UpdateConfig{Delay: seconds(3)} })
		time.Sleep(time.Minute)
		r.UpdateService("web", func(s *clusterpb.ServiceSpec) {
			s.Task.Placement = &clusterpb.Placement{Constraints: []string{"node.role==worker"}}
		})
		time.Sleep(time.Minute)
		scale(r.ctx, t, r.Cluster, "web", 6)
		time.Sleep(time.Minute)
		if now := ids(r.Serving("web")); len(now) != 6 || !contains(now, before...) {
			t.Errorf("tasks %v became %v", before, now)
		}
	})
}

// TestNewUpdateReplacesAnother: the slots that have the second spec's tasks
// are those that matter.
func TestNewUpdateReplacesAnother(t *testing.T) {
	roll(t, 6, &clusterpb.UpdateConfig{Delay: seconds(5)}, func(r *rollout) {
		r.Script("v3", slow())
		r.update()
		r.Eventually("half the update", func() bool { return r.images()["v2"] == 3 })
		r.UpdateService("web", func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "v3" })
		r.reach(completed)
		r.serve(map[string]int{"v3": 6})
		if got := r.least(); got < 4 { // one slot of each rollout
			t.Errorf("only %d slots served at a time", got)
		}
	})
}

// TestPauseAndResume stops in the middle for as long as asked.
func TestPauseAndResume(t *testing.T) {
	roll(t, 6, &clusterpb.UpdateConfig{Delay: seconds(5)}, func(r *rollout) {
		r.update()
		r.Eventually("two slots", func() bool { return r.images()["v2"] == 2 })
		r.control(controlpb.ControlRolloutRequest_ACTION_PAUSE)
		time.Sleep(time.Minute)
		stood := r.images()
		leader := r.Leader()
		r.Crash(leader)
		time.Sleep(10 * time.Minute)
		r.Restart(leader)
		if diff := cmp.Diff(stood, r.images()); diff != "" || stood["v1"] < 3 {
			t.Errorf("tasks while paused (-before +after):\n%s", diff)
		}
		r.control(controlpb.ControlRolloutRequest_ACTION_RESUME)
		r.reach(completed)
		r.serve(map[string]int{"v2": 6})
		if diff := cmp.Diff(once(6), r.v2()); diff != "" {
			t.Errorf("new tasks by slot (-want +got):\n%s", diff)
		}
	})
}

// TestResumeAfterALongPause: what was begun before it is not overdue.
func TestResumeAfterALongPause(t *testing.T) {
	roll(t, 2, &clusterpb.UpdateConfig{ProgressDeadline: seconds(60), Monitor: seconds(1)}, func(r *rollout) {
		late := slow()
		late.PrepareDelay = 10*time.Minute + 30*time.Second
		r.Script("v2", late)
		r.update()
		r.Eventually("a new task to be prepared", func() bool {
			return slices.ContainsFunc(r.Tasks("web"), func(t *clusterpb.Task) bool { return t.GetStatus().GetState() == lifecycle.Preparing })
		})
		r.control(controlpb.ControlRolloutRequest_ACTION_PAUSE)
		r.Script("v2", slow()) // the tasks after it
		time.Sleep(10 * time.Minute)
		r.control(controlpb.ControlRolloutRequest_ACTION_RESUME)
		r.reach(completed)
		r.serve(map[string]int{"v2": 2})
	})
}

// TestRollbackByTheUser, to the spec before and to an older one.
func TestRollbackByTheUser(t *testing.T) {
	roll(t, 4, &clusterpb.UpdateConfig{}, func(r *rollout) {
		r.Script("v3", slow())
		back := func(to uint64) {
			t.Helper()
			if _, err := services(r.Control()).RollbackService(r.ctx, &controlpb.RollbackServiceRequest{Service: "web", To: to}); err != nil {
				t.Fatal(err)
			}
			r.reach(rollbackCompleted)
		}
		r.update()
		r.reach(completed)
		back(0)
		r.serve(map[string]int{"v1": 4})
		r.UpdateService("web", func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "v3" })
		r.reach(completed)
		for _, h := range r.Service("web").GetHistory() {
			if pod.Main(h.GetSpec().GetTask()).GetImage() == "v2" {
				back(h.GetNumber())
				r.serve(map[string]int{"v2": 4})
				return
			}
		}
		t.Errorf("the history lost v2: %v", r.Service("web").GetHistory())
	})
}
