package update_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/rollout"
)

// taken is what the rollout to a version of the spec has taken so far.
type taken struct {
	version uint64
	slots   map[uint32]bool
	// free tells that the service had no slots, and the rollout nothing to take.
	free bool
}

// look brings it up to date.
func (w *taken) look(svc *clusterpb.Service, slots []slot.Slot) {
	if w.version != svc.GetSpecVersion() {
		*w = taken{version: svc.GetSpecVersion()}
	}
	before := w.slots
	w.slots = make(map[uint32]bool)
	for _, sl := range slots {
		w.slots[sl.Number] = before[sl.Number] || w.free || rollout.HasBegun(svc, sl.Number)
	}
	w.free = len(slots) == 0 && !rollout.IsHeld(svc)
}

// spread returns why more of the cluster has the new spec than the rollout gave
// it, or "": while it is not over, only slots that it has taken have tasks of
// it, and those of canaries only canaries until they are promoted. A rollback
// leads to what was proved: slots that serve nothing need not wait for it.
func (s *story) spread() string {
	svc, slots := s.Service("web"), slot.Group(s.State.TasksOf("web"))
	s.taken.look(svc, slots)
	is := svc.GetUpdate().GetState()
	if rollout.IsOver(is) || rollout.IsRollback(is) {
		return ""
	}
	for _, sl := range slots {
		for _, t := range sl.Wanted() {
			switch {
			case t.GetSpecVersion() != svc.GetSpecVersion() || t.GetCanary():
			case rollout.IsAtCanaries(svc):
				return fmt.Sprintf("task %s of slot %d has the new spec and is no canary", t.GetId(), sl.Number)
			case !s.taken.slots[sl.Number]:
				return fmt.Sprintf("task %s of slot %d, which the rollout has not taken, has the new spec", t.GetId(), sl.Number)
			}
		}
	}
	return ""
}

// unpromoted returns how a rollout with canaries came to its end without anybody
// letting them take over, or "". One that changes nothing needs no promotion:
// then no task is of its spec_version when it ends.
func (s *story) unpromoted() string {
	svc := s.Service("web")
	u := svc.GetUpdate()
	if s.ended == svc.GetSpecVersion() || u.GetState() != completed {
		return ""
	}
	s.ended = svc.GetSpecVersion()
	if u.GetPromoted() || svc.GetSpec().GetUpdate().GetCanary() == 0 {
		return ""
	}
	slots := slot.Group(s.State.TasksOf("web"))
	for _, sl := range slots {
		for _, t := range sl.Wanted() {
			if t.GetSpecVersion() == s.ended {
				return fmt.Sprintf("the rollout is over and was not promoted, but task %s is of it: %v", t.GetId(), u)
			}
		}
	}
	back := rollout.Retreat(svc)
	if len(slots) == 0 && back != nil && pod.Main(back.GetSpec().GetTask()).GetImage() != pod.Main(svc.GetSpec().GetTask()).GetImage() {
		return fmt.Sprintf("the rollout of a service without replicas is over and was not promoted: %v", u)
	}
	return ""
}

// disturbances are what makes followers of tasks that the rollout has not to do with.
var disturbances = map[string]func(s *story){
	"a drain": func(s *story) {
		s.EditNode("a", func(n *clusterpb.NodeSpec) { n.Availability = clusterpb.NodeSpec_AVAILABILITY_DRAIN })
	},
	"a node that is down": func(s *story) { s.SetNode("a", clusterpb.NodeStatus_STATE_DOWN) },
	"a node that is relabelled": func(s *story) {
		s.EditNode("a", func(n *clusterpb.NodeSpec) { n.Labels = map[string]string{"disk": "hdd"} })
	},
	"failures": func(s *story) {
		for t := range s.State.TasksOf("web") {
			if pod.Main(t.GetSpec()).GetImage() == "v1" && lifecycle.Serving(t) {
				s.Observe(t, lifecycle.Failed)
			}
		}
	},
	"scaling": func(s *story) { s.scale(9) },
	"scaling to nothing and back": func(s *story) {
		s.scale(0)
		s.until(s.Now.Add(time.Second), func() bool { return false })
		s.scale(6)
	},
}

func (s *story) scale(replicas uint32) {
	s.Put("web", func(spec *clusterpb.ServiceSpec) {
		spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: replicas}}
	})
}

// TestSlotsThatWereNotTakenKeepTheirSpec, whoever gives them a task: while a
// rollout is under way or held, only it brings the new spec.
func TestSlotsThatWereNotTakenKeepTheirSpec(t *testing.T) {
	held := map[string]struct {
		cfg  *clusterpb.UpdateConfig
		hold func(s *story)
		want clusterpb.UpdateStatus_State
	}{
		"under way":          {&clusterpb.UpdateConfig{Monitor: seconds(60)}, func(*story) {}, updating},
		"paused":             {&clusterpb.UpdateConfig{Monitor: seconds(60)}, func(s *story) { s.steer(pause) }, paused},
		"at canaries":        {&clusterpb.UpdateConfig{Canary: 1, Monitor: seconds(5)}, func(*story) {}, canaryWaits},
		"at canaries of all": {&clusterpb.UpdateConfig{Canary: 6, Monitor: seconds(5)}, func(*story) {}, canaryWaits},
		"paused at canaries": {&clusterpb.UpdateConfig{Canary: 1, Monitor: seconds(5)}, func(s *story) { s.steer(pause) }, paused},
	}
	for when, h := range held {
		for what, disturb := range disturbances {
			if when == "under way" && what == "scaling to nothing and back" {
				continue // with nothing left to take it is over
			}
			t.Run(when+", "+what, func(t *testing.T) {
				s := start(t, 6, h.cfg, func(spec *clusterpb.ServiceSpec) {
					spec.Task.Placement = &clusterpb.Placement{Constraints: []string{"node.labels.disk!=hdd"}}
				})
				s.image("v2")
				s.until(s.Now.Add(20*time.Second), func() bool { return false })
				h.hold(s)
				s.check = func() {
					if why := s.spread(); why != "" {
						t.Fatal(why)
					}
				}
				disturb(s)
				s.until(s.Now.Add(30*time.Second), func() bool { return false })
				want := int(s.Service("web").GetSpec().GetReplicated().GetReplicas())
				if got := s.serving(""); got != want || s.status().GetState() != h.want {
					t.Errorf("%d slots serve, want %d; the rollout is %v", got, want, s.status())
				}
				if when == "paused at canaries" || when == "paused" {
					s.steer(s.resume)
				}
				s.run()
				if s.status().GetState() == canaryWaits {
					s.steer(promote)
					s.run()
				}
				s.expect(completed, fmt.Sprintf("%d v2", want), "update completed")
			})
		}
	}
}
