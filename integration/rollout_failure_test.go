package integration_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/worker/executor/executortest"
)

// What image v2 does when it is bad.
func crashes() executortest.Behaviour {
	b := slow()
	b.ExitAfter, b.Exit = 300*time.Millisecond, exit(1)
	return b
}

func neverHealthy() executortest.Behaviour {
	b := slow()
	b.HealthyAfter = time.Hour * 24
	b.Health = &clusterpb.HealthCheck{Test: []string{"CMD", "true"}, Interval: seconds(1), Retries: 2}
	return b
}

func neverReady() executortest.Behaviour { return executortest.Behaviour{PrepareDelay: time.Hour} }

// TestFailedUpdatePauses after the first slot.
func TestFailedUpdatePauses(t *testing.T) {
	for name, b := range map[string]executortest.Behaviour{"crashes": crashes(), "unhealthy": neverHealthy(), "stuck": neverReady()} {
		t.Run(name, func(t *testing.T) {
			cfg := &clusterpb.UpdateConfig{ProgressDeadline: seconds(30), Monitor: seconds(1)}
			roll(t, 4, cfg, func(r *rollout) {
				r.Script("v2", b)
				r.update()
				r.Within(time.Minute, "the update to pause", func() bool { return r.state() == paused })
				time.Sleep(10 * time.Minute)
				if got := r.images(); got["v1"] != 3 || r.state() != paused || len(r.v2()) != 1 {
					t.Errorf("paused with %v, in %v, new tasks by slot %v", got, r.state(), r.v2())
				}
				if msg := r.Service("web").GetUpdate().GetMessage(); msg == "" {
					t.Error("nothing says why it paused")
				}
				// A better image goes on from there.
				r.Script("v3", slow())
				r.UpdateService("web", func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "v3" })
				r.reach(completed)
				r.serve(map[string]int{"v3": 4})
				if got := r.least(); got < 2 {
					t.Errorf("only %d slots served at a time", got)
				}
			})
		})
	}
}

// TestFailedUpdateRollsBack by itself to what ran before.
func TestFailedUpdateRollsBack(t *testing.T) {
	for name, b := range map[string]executortest.Behaviour{"crashes": crashes(), "unhealthy": neverHealthy(), "stuck": neverReady()} {
		for _, order := range []clusterpb.UpdateConfig_Order{clusterpb.UpdateConfig_ORDER_STOP_FIRST, clusterpb.UpdateConfig_ORDER_START_FIRST} {
			t.Run(name+" "+order.String(), func(t *testing.T) {
				cfg := &clusterpb.UpdateConfig{
					FailureAction: clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK, ProgressDeadline: seconds(30),
					Parallelism: proto.Uint32(2), Order: order, Monitor: seconds(1),
				}
				roll(t, 5, cfg, func(r *rollout) {
					r.Script("v2", b)
					before := ids(r.Serving("web"))
					r.update()
					r.reach(rollbackCompleted)
					r.serve(map[string]int{"v1": 5})
					want := 3
					if order == clusterpb.UpdateConfig_ORDER_START_FIRST {
						want = 5
						if !contains(ids(r.Serving("web")), before...) {
							t.Error("tasks were replaced although no new one lasted")
						}
					}
					if got := r.least(); got < want {
						t.Errorf("only %d slots served at a time, want %d", got, want)
					}
					if got := pod.Main(r.Service("web").GetSpec().GetTask()).GetImage(); got != "v1" {
						t.Errorf("the spec asks for %s", got)
					}
				})
			})
		}
	}
}

// TestFailedUpdateGoesOn through all slots if asked to.
func TestFailedUpdateGoesOn(t *testing.T) {
	cfg := &clusterpb.UpdateConfig{FailureAction: clusterpb.UpdateConfig_FAILURE_ACTION_CONTINUE, Monitor: seconds(1)}
	roll(t, 4, cfg, func(r *rollout) {
		r.Script("v2", crashes())
		r.update()
		r.reach(completed)
		if got := r.v2(); len(got) != 4 {
			t.Errorf("new tasks by slot: %v", got)
		}
		failed := 0
		for _, p := range r.Service("web").GetUpdate().GetProgress() {
			if p.GetFailed() {
				failed++
			}
		}
		if failed != 4 {
			t.Errorf("%d slots count as failed: %v", failed, r.Service("web").GetUpdate())
		}
	})
}

// TestMaxFailureRatio: one slot of four may fail, two may not.
func TestMaxFailureRatio(t *testing.T) {
	for bad, want := range map[int]clusterpb.UpdateStatus_State{1: completed, 2: paused} {
		t.Run(want.String(), func(t *testing.T) {
			roll(t, 4, &clusterpb.UpdateConfig{MaxFailureRatio: 0.25, Monitor: seconds(2)}, func(r *rollout) {
				seen := 0
				r.update()
				// The first ones crash once; their replacements do not.
				for seen < bad {
					time.Sleep(50 * time.Millisecond)
					for _, task := range r.Serving("web") {
						if pod.Main(task.GetSpec()).GetImage() == "v2" && task.GetAttempt() == 0 && seen < bad {
							r.Node(task.GetNodeId()).Runtime.End(task.GetId(), exit(1))
							seen++
							time.Sleep(time.Second)
						}
					}
				}
				r.reach(want)
			})
		})
	}
}

// TestMonitor: a failure counts as long as the slot is watched.
func TestMonitor(t *testing.T) {
	for monitor, want := range map[float64]clusterpb.UpdateStatus_State{5: paused, 1: completed} {
		t.Run(want.String(), func(t *testing.T) {
			roll(t, 2, &clusterpb.UpdateConfig{Monitor: seconds(monitor)}, func(r *rollout) {
				b := slow()
				b.ExitAfter, b.Exit = 3*time.Second, exit(1)
				r.Script("v2", b)
				r.update()
				r.reach(want)
			})
		})
	}
}

// TestLostNodeIsNoFailure: the update goes on with what remains.
func TestLostNodeIsNoFailure(t *testing.T) {
	roll(t, 6, &clusterpb.UpdateConfig{Monitor: seconds(5)}, func(r *rollout) {
		r.update()
		r.Eventually("two slots", func() bool { return r.images()["v2"] == 2 })
		for _, task := range r.Serving("web") {
			if pod.Main(task.GetSpec()).GetImage() == "v2" {
				r.PowerOff(r.Node(task.GetNodeId()))
				break
			}
		}
		r.reach(completed)
		r.serve(map[string]int{"v2": 6})
	})
}

// TestCanary runs two beside the old ones, and waits for approval.
func TestCanary(t *testing.T) {
	manual := &clusterpb.UpdateConfig{Canary: 2, Monitor: seconds(2), Parallelism: proto.Uint32(0)}
	roll(t, 4, manual, func(r *rollout) {
		before := ids(r.Serving("web"))
		r.update()
		r.reach(atCanary)
		leader := r.Leader()
		r.Crash(leader)
		time.Sleep(10 * time.Minute)
		r.Restart(leader)
		if got := r.images(); got["v1"] != 4 || got["v2"] != 2 || !contains(ids(r.Serving("web")), before...) {
			t.Errorf("while canaries wait, %v serve", got)
		}
		r.control(controlpb.ControlRolloutRequest_ACTION_PROMOTE)
		r.reach(completed)
		r.serve(map[string]int{"v2": 4})
		if got := r.v2(); got[1]+got[2]+got[3]+got[4] != 4 {
			t.Errorf("new tasks by slot: %v", got)
		}
	})
}

// TestCanaryPromotesItself when the policy says so.
func TestCanaryPromotesItself(t *testing.T) {
	auto := &clusterpb.UpdateConfig{Canary: 2, Promote: clusterpb.UpdateConfig_PROMOTE_AUTO, Monitor: seconds(2)}
	roll(t, 4, auto, func(r *rollout) {
		r.update()
		r.reach(completed)
		r.serve(map[string]int{"v2": 4})
	})
}

// TestBadCanaryIsTakenBack without touching an old task.
func TestBadCanaryIsTakenBack(t *testing.T) {
	for name, b := range map[string]executortest.Behaviour{"crashes": crashes(), "unhealthy": neverHealthy()} {
		t.Run(name, func(t *testing.T) {
			roll(t, 4, &clusterpb.UpdateConfig{Canary: 2, Monitor: seconds(2)}, func(r *rollout) {
				r.Script("v2", b)
				before := ids(r.Serving("web"))
				r.update()
				r.reach(rollbackCompleted)
				r.serve(map[string]int{"v1": 4})
				if !contains(ids(r.Serving("web")), before...) {
					t.Error("old tasks were replaced")
				}
			})
		})
	}
}
