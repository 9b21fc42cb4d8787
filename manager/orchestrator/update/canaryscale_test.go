package update_test

import (
	"strings"
	"testing"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/raftstore/state"
)

const auto = clusterpb.UpdateConfig_PROMOTE_AUTO

// TestScalingBesideCanaries: whatever a service is scaled to, a spec that was not
// promoted is never more than its canaries, and is not over; what the rollout
// says is of now.
func TestScalingBesideCanaries(t *testing.T) {
	const empty = "it has no replicas: canaries start once it is scaled up"
	rest := func(s *story) { s.until(s.Now.Add(time.Minute), func() bool { return false }) }
	tests := map[string]struct {
		replicas uint32
		promote  clusterpb.UpdateConfig_Promote
		then     func(s *story)
		want     clusterpb.UpdateStatus_State
		serving  string
		message  string
	}{
		"to nothing":          {4, 0, func(s *story) { s.scale(0) }, canaryWaits, "", empty},
		"to nothing, by auto": {0, auto, func(*story) {}, canaryWaits, "", empty},
		"back from nothing": {4, 0, func(s *story) {
			s.scale(0)
			rest(s)
			s.scale(5)
		}, canaryWaits, "5 v1, 2 v2", "2 canaries run and wait"},
		"below the canaries": {4, 0, func(s *story) { s.scale(1) }, canaryWaits, "1 v1, 1 v2", "1 canary runs and waits"},
		"and up again": {4, 0, func(s *story) {
			s.scale(1)
			rest(s)
			s.scale(6)
		}, canaryWaits, "6 v1, 2 v2", "2 canaries run and wait"},
		"up":                  {4, 0, func(s *story) { s.scale(9) }, canaryWaits, "9 v1, 2 v2", "2 canaries run and wait"},
		"updated at nothing":  {0, 0, func(s *story) { s.scale(3) }, canaryWaits, "3 v1, 2 v2", "2 canaries run and wait"},
		"updated and scaled":  {0, auto, func(s *story) { s.scale(3) }, completed, "3 v2", "update completed"},
		"promoted at nothing": {0, 0, func(s *story) { s.steer(promote) }, completed, "", "update completed"},
		"promoted, then scaled": {0, 0, func(s *story) {
			s.steer(promote)
			rest(s)
			s.scale(3)
		}, completed, "3 v2", "update completed"},
		"rolled back at nothing": {4, 0, func(s *story) {
			s.scale(0)
			rest(s)
			s.rollBack()
			rest(s)
			s.scale(3)
		}, rollbackCompleted, "3 v1", "rollback completed"},
		"put back by hand at nothing": {0, 0, func(s *story) { s.image("v1") }, completed, "", "update completed"},
		"paused at nothing": {0, 0, func(s *story) {
			s.steer(pause)
			rest(s)
			s.scale(3)
		}, paused, "3 v1", "paused by the user"},
		"resumed at nothing": {0, 0, func(s *story) {
			s.steer(pause)
			rest(s)
			s.steer(s.resume)
		}, canaryWaits, "", empty},
		"resumed": {4, 0, func(s *story) {
			s.steer(pause)
			rest(s)
			s.steer(s.resume)
		}, canaryWaits, "4 v1, 2 v2", "2 canaries run and wait"},
		"no canaries any more": {4, 0, func(s *story) {
			s.Put("web", func(spec *clusterpb.ServiceSpec) { spec.Update = &clusterpb.UpdateConfig{Monitor: seconds(600)} })
		}, updating, "1 v1, 3 v2", "canaries promoted"},
		"no canaries any more, at nothing": {0, 0, func(s *story) {
			s.Put("web", func(spec *clusterpb.ServiceSpec) { spec.Update = nil })
		}, completed, "", "update completed"},
		"more canaries": {4, 0, func(s *story) {
			s.Put("web", func(spec *clusterpb.ServiceSpec) { spec.Update.Canary = 3 })
		}, canaryWaits, "4 v1, 3 v2", "3 canaries run and wait"},
		"another change": {4, 0, func(s *story) {
			s.Put("web", func(spec *clusterpb.ServiceSpec) { pod.Main(spec.Task).Env = []string{"A=1"} })
		}, canaryWaits, "4 v1, 2 v2", "2 canaries run and wait"},
		"a restart": {4, 0, func(s *story) { s.Restart("web") }, canaryWaits, "4 v1, 2 v2", "2 canaries run and wait"},
		"labels": {4, 0, func(s *story) {
			s.Put("web", func(spec *clusterpb.ServiceSpec) { spec.Labels = map[string]string{"a": "b"} })
		}, canaryWaits, "4 v1, 2 v2", "2 canaries run and wait"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, tt.replicas, canary(2, tt.promote))
			s.check = func() {
				if why := s.spread() + s.unpromoted(); why != "" {
					t.Fatal(why)
				}
			}
			s.image("v2")
			rest(s)
			tt.then(s)
			rest(s)
			s.expect(tt.want, tt.serving, tt.message)
			if tt.want != canaryWaits && strings.Contains(s.status().GetMessage(), "wait") {
				t.Errorf("message %q of a rollout that is %s", s.status().GetMessage(), tt.want)
			}
		})
	}
}

// TestUpdateOfNothing: without canaries the spec of a service that runs nothing is
// what it starts with, be it scaled later or with the update.
func TestUpdateOfNothing(t *testing.T) {
	for name, change := range map[string]func(s *story){
		"later": func(s *story) {
			s.image("v2")
			s.run()
			s.scale(3)
		},
		"with it": func(s *story) {
			s.Put("web", func(spec *clusterpb.ServiceSpec) {
				pod.Main(spec.Task).Image = "v2"
				spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, 0, &clusterpb.UpdateConfig{})
			change(s)
			s.run()
			s.expect(completed, "3 v2", "update completed")
			for task := range s.State.TasksOf("web") {
				if got := pod.Main(task.GetSpec()).GetImage(); got != "v2" {
					t.Errorf("task %s has image %s", task.GetId(), got)
				}
			}
		})
	}
}

// rollBack is what the control API does for a rollback without a number.
func (s *story) rollBack() {
	s.t.Helper()
	svc := s.Service("web")
	back, err := rollout.Earlier(svc, 0)
	if err != nil {
		s.t.Fatalf("roll back: %v", err)
	}
	s.Apply(state.PutService(&raftpb.PutService{
		Id: svc.GetId(), Version: svc.GetVersion(), Spec: back.GetSpec(), Images: back.GetImages(), Rollback: true,
	}))
}

// pause is the user's.
func pause(u *clusterpb.UpdateStatus) {
	u.PausedFrom, u.State, u.Message = u.GetState(), paused, "paused by the user"
}
