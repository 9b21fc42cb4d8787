package update_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster/muster/manager/control/controltest"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/proto/spec"
)

// TestAnyInterleaving lets controllers, workers, the clock, faults and the
// user act in any order, with leaders that stop in the middle of a plan, and
// then lets everything calm down: the rollout comes to an end and every slot
// is served by one task of the right spec.
func TestAnyInterleaving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := &clusterpb.UpdateConfig{
			Parallelism:     new(uint32(rapid.IntRange(0, 3).Draw(t, "parallelism"))),
			Order:           clusterpb.UpdateConfig_Order(rapid.IntRange(0, 2).Draw(t, "order")),
			FailureAction:   clusterpb.UpdateConfig_FailureAction(rapid.IntRange(0, 3).Draw(t, "action")),
			Monitor:         seconds(rapid.IntRange(0, 10).Draw(t, "monitor")),
			Delay:           seconds(rapid.IntRange(0, 5).Draw(t, "delay")),
			MaxFailureRatio: rapid.SampledFrom([]float64{0, 0.4}).Draw(t, "ratio"),
			Canary:          uint32(rapid.IntRange(0, 2).Draw(t, "canary")),
			Promote:         clusterpb.UpdateConfig_Promote(rapid.IntRange(0, 2).Draw(t, "promote")),
		}
		s := start(t, 4, cfg, func(spec *clusterpb.ServiceSpec) { spec.Rollback = cfg })
		s.check = func() {
			s.bounded(t)
			for _, why := range []string{s.spread(), s.unpromoted()} {
				if why != "" {
					t.Fatal(why)
				}
			}
		}
		s.image("v2")
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			s.act(t)
			s.note()
		}
		s.calm(t)
	})
}

// bounded: a slot never has more than three tasks that are to run beside a
// canary, and no more slots change than may.
func (s *story) bounded(t *rapid.T) {
	for _, sl := range slot.Group(s.State.TasksOf("web")) {
		own := 0
		for _, task := range sl.Wanted() {
			if !task.GetCanary() {
				own++
			}
		}
		if own > 3 { // an old one, its move off a drained node, and a new one
			t.Fatalf("slot %d has %d tasks that are to run", sl.Number, own)
		}
	}
	svc := s.Service("web")
	cfg := svc.GetSpec().GetUpdate()
	limit := int(spec.Parallelism(cfg))
	if limit == 0 || cfg.GetCanary() > 0 {
		return
	}
	busy, more := 0, false
	for _, e := range svc.GetUpdate().GetProgress() {
		if e.GetDoneAt() == nil {
			busy++
		}
		more = more || rollout.Progress(s.seen, e.GetSlot()) == nil
	}
	// One that was done and fell has to prove itself again, whatever else changes.
	if s.seen = svc.GetUpdate(); more && busy > limit {
		t.Fatalf("another slot is taken and %d change at a time, %d may: %v", busy, limit, svc.GetUpdate())
	}
}

// act does one thing that may happen.
func (s *story) act(t *rapid.T) {
	tasks := slices.Collect(s.State.TasksOf("web"))
	var task *clusterpb.Task
	if len(tasks) > 0 {
		task = tasks[rapid.IntRange(0, len(tasks)-1).Draw(t, "task")]
	}
	switch rapid.SampledFrom([]string{
		"plan", "plan", "plan", "plan", "work", "work", "work", "tick", "tick", "fail", "die", "node", "drain", "steer", "scale", "spec",
	}).Draw(t, "act") {
	case "plan":
		s.planPart(t)
	case "work":
		if task == nil {
			return
		}
		s.Observe(task, controltest.Next(task, s.State.Node))
	case "tick":
		s.Now = s.Now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
	case "fail":
		if task.GetNodeId() != "" { // else there is none, or nobody to say so
			s.Observe(task, lifecycle.Failed)
		}
	case "die": // a leader that is new to everything
		s.Turn(s.controllers()...)
	case "node":
		s.SetNode(s.anyNode(t), rapid.SampledFrom([]clusterpb.NodeStatus_State{
			clusterpb.NodeStatus_STATE_DOWN, clusterpb.NodeStatus_STATE_READY,
		}).Draw(t, "state"))
	case "drain":
		s.EditNode(s.anyNode(t), func(n *clusterpb.NodeSpec) {
			n.Availability = clusterpb.NodeSpec_Availability(rapid.IntRange(1, 3).Draw(t, "availability"))
		})
	case "steer":
		s.press(t)
	case "scale":
		s.Put("web", func(spec *clusterpb.ServiceSpec) {
			spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{
				Replicas: uint32(rapid.IntRange(0, 6).Draw(t, "replicas")),
			}}
		})
	case "spec":
		s.image(fmt.Sprint("v", rapid.IntRange(1, 4).Draw(t, "image")))
	}
}

// planPart applies the beginning of one controller's plan: its leader may have
// stopped before it proposed the rest.
func (s *story) planPart(t *rapid.T) {
	controllers := s.controllers()
	c := controllers[rapid.IntRange(0, len(controllers)-1).Draw(t, "controller")]
	key := rapid.SampledFrom(c.Keys(s.State)).Draw(t, "key")
	changes, _ := c.Plan(s.State, key, s.Now)
	if len(changes) > 0 {
		s.Apply(changes[:rapid.IntRange(1, len(changes)).Draw(t, "part")]...)
	}
}

func (s *story) anyNode(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "node")
}

// press is a user at the buttons.
func (s *story) press(t *rapid.T) {
	switch state := s.status().GetState(); {
	case state == paused || state == rollbackPaused:
		s.steer(s.resume)
	case state == canaryWaits && rapid.Bool().Draw(t, "promote"):
		s.steer(promote)
	case state == updating || state == canaryWaits:
		s.steer(func(u *clusterpb.UpdateStatus) { u.PausedFrom, u.State = u.GetState(), paused })
	}
}

// calm ends all trouble and checks what remains.
func (s *story) calm(t *rapid.T) {
	for _, n := range []string{"a", "b", "c"} {
		s.SetNode(n, clusterpb.NodeStatus_STATE_READY)
		s.EditNode(n, func(spec *clusterpb.NodeSpec) { spec.Availability = clusterpb.NodeSpec_AVAILABILITY_ACTIVE })
	}
	for range 20 {
		s.run()
		s.Now = s.Now.Add(time.Second)
		switch s.status().GetState() {
		case paused, rollbackPaused:
			s.steer(s.resume)
			continue
		case canaryWaits:
			s.steer(promote)
			continue
		case completed, rollbackCompleted:
		default:
			t.Fatalf("the rollout is %v", s.status())
		}
		break
	}
	svc := s.Service("web")
	dates := slot.NewDates(svc, s.State.Node)
	slots := slot.Group(s.State.TasksOf("web"))
	if len(slots) != int(svc.GetSpec().GetReplicated().GetReplicas()) {
		t.Fatalf("%d slots, want %d", len(slots), svc.GetSpec().GetReplicated().GetReplicas())
	}
	for _, sl := range slots {
		wanted := sl.Wanted()
		if len(wanted) != 1 || !lifecycle.Serving(wanted[0]) || dates.OutOfDate(wanted[0]) {
			t.Fatalf("slot %d has %v\nrollout %v", sl.Number, wanted, svc.GetUpdate())
		}
	}
	for task := range s.State.Tasks() {
		if !lifecycle.Wanted(task) && !lifecycle.Ended(task.GetStatus().GetState()) {
			t.Fatalf("task %v never stopped", task)
		}
	}
	if s.Turn(s.controllers()...) {
		t.Fatalf("there was something left to do")
	}
}

// TestServingIsKept: without failures, a stop-first rollout keeps all but
// parallelism slots serving and a start-first one all, whatever the pace.
func TestServingIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replicas := rapid.IntRange(1, 12).Draw(t, "replicas")
		limit := rapid.IntRange(1, 4).Draw(t, "parallelism")
		order := clusterpb.UpdateConfig_Order(rapid.IntRange(1, 2).Draw(t, "order"))
		s := start(t, uint32(replicas), &clusterpb.UpdateConfig{
			Parallelism: new(uint32(limit)), Order: order,
			Monitor: seconds(rapid.IntRange(0, 5).Draw(t, "monitor")), Delay: seconds(rapid.IntRange(0, 5).Draw(t, "delay")),
		})
		s.image("v2")
		for s.status().GetState() != completed {
			if rapid.IntRange(0, 3).Draw(t, "which") > 0 {
				s.planPart(t)
			} else if !s.work() && !s.Turn(s.controllers()...) {
				s.Now = s.Now.Add(time.Second)
			}
			s.note()
			if least := replicas - limit; order == startFirst && s.minServing < replicas || s.minServing < least {
				t.Fatalf("only %d of %d slots serve", s.minServing, replicas)
			}
			if s.maxBusy > limit {
				t.Fatalf("%d slots at a time, want %d", s.maxBusy, limit)
			}
		}
	})
}
