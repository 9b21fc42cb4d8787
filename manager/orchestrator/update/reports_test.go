package update_test

import (
	"testing"
	"time"

	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
)

// reports are faults that users of other products reported of their rollouts, and
// what is right.
var reports = map[string]struct {
	replicas uint32
	cfg      *clusterpb.UpdateConfig
	then     func(s *story)
	want     clusterpb.UpdateStatus_State
	serving  string
	message  string
}{
	"hashicorp/nomad#8439: what replaces an old task has the spec that is not promoted": {
		3, canary(1, 0), func(s *story) {
			s.image("v2")
			s.minute()
			s.end("v1")
		}, canaryWaits, "3 v1, 1 v2", "1 canary runs",
	},
	"hashicorp/nomad#17842: a drain of a canary's node corrupts the deployment": {
		4, canary(3, 0), func(s *story) {
			s.image("v2")
			s.until(s.Now.Add(3*time.Second), func() bool { return false }) // they are on trial yet
			s.drain("a")
		}, canaryWaits, "4 v1, 3 v2", "3 canaries run",
	},
	"hashicorp/nomad#8671: all nodes are lost at the canaries, and others come": {
		3, canary(1, 0), func(s *story) {
			s.image("v2")
			s.minute()
			for _, n := range []string{"a", "b", "c"} {
				s.SetNode(n, clusterpb.NodeStatus_STATE_DOWN)
			}
			s.minute()
			s.AddNode("d")
		}, canaryWaits, "3 v1, 1 v2", "1 canary runs",
	},
	"hashicorp/nomad#5619: a drain after failed canaries brings them back": {
		3, canary(1, 0), func(s *story) {
			s.failing("bad")
			s.image("bad")
			s.minute()
			s.drain("a")
			s.drain("b")
		}, rollbackCompleted, "3 v1", "rollback completed, after: ",
	},
	"hashicorp/nomad#19643: canaries with fewer replicas fail, and what was removed stays so": {
		5, canary(1, 0), func(s *story) {
			s.failing("bad")
			s.Put("web", func(spec *clusterpb.ServiceSpec) {
				pod.Main(spec.Task).Image = "bad"
				spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 2}}
			})
		}, rollbackCompleted, "5 v1", "",
	},
	"hashicorp/nomad#8420: canaries are counted after they were promoted": {
		2, canary(2, 0), func(s *story) {
			s.image("v2")
			s.minute()
			s.steer(promote)
		}, completed, "2 v2", "update completed",
	},
	"hashicorp/nomad#10882: the way back from a deployment goes through canaries": {
		3, canary(1, 0), func(s *story) {
			s.image("v2")
			s.minute()
			s.steer(promote)
			s.minute()
			s.rollBack()
		}, rollbackCompleted, "3 v1", "rollback completed",
	},
	"moby/moby#37972: a delay longer than the monitor period hides a failure": {
		3, &clusterpb.UpdateConfig{Delay: seconds(40), Monitor: seconds(5), FailureAction: rollBack}, func(s *story) {
			s.image("v2")
			s.until(s.Now.Add(20*time.Second), func() bool { return false })
			s.end("v2")
		}, rollbackCompleted, "3 v1", "rollback completed, after: ",
	},
	"moby/swarmkit#1245: an update of one replica that fails is completed": {
		1, nil, func(s *story) {
			s.failing("bad")
			s.image("bad")
		}, paused, "", "update paused: task ",
	},
	"moby/moby#37693: an update that changes nothing resumes another and loses the way back": {
		2, nil, func(s *story) {
			s.failing("bad")
			s.image("bad")
			s.minute()
			s.Put("web", func(*clusterpb.ServiceSpec) {})
			s.minute()
			s.rollBack()
		}, rollbackCompleted, "2 v1", "rollback completed",
	},
	"kubernetes/kubernetes#23022: a rollback of what is paused never begins": {
		3, &clusterpb.UpdateConfig{Monitor: seconds(30)}, func(s *story) {
			s.image("v2")
			s.until(s.Now.Add(10*time.Second), func() bool { return false })
			s.steer(pause)
			s.rollBack()
			s.minute()
		}, rollbackCompleted, "3 v1", "rollback completed",
	},
	"kubernetes/kubernetes#20130: what is paused cannot be scaled": {
		3, &clusterpb.UpdateConfig{Monitor: seconds(30)}, func(s *story) {
			s.image("v2")
			s.until(s.Now.Add(10*time.Second), func() bool { return false })
			s.steer(pause)
			s.scale(6)
		}, paused, "5 v1, 1 v2", "paused by the user",
	},
	"argoproj/argo-rollouts#1624: a failure long after the end is one of the rollout": {
		3, &clusterpb.UpdateConfig{FailureAction: rollBack}, func(s *story) {
			s.image("v2")
			s.run()
			s.end("v2")
		}, completed, "3 v2", "update completed",
	},
	"argoproj/argo-rollouts#4973: scaling after an abort brings the canaries back": {
		3, canary(1, 0), func(s *story) {
			s.image("v2")
			s.minute()
			s.rollBack()
			s.scale(6)
		}, rollbackCompleted, "6 v1", "rollback completed",
	},
	"argoproj/argo-rollouts#4461: a promotion that does not get on cannot be taken back": {
		3, canary(1, 0), func(s *story) {
			s.image("v2")
			s.minute()
			s.steer(promote)
			s.failing("v2")
			s.rollBack()
		}, rollbackCompleted, "3 v1", "rollback completed",
	},
}

// TestReports does what was reported.
func TestReports(t *testing.T) {
	for name, tt := range reports {
		t.Run(name, func(t *testing.T) {
			s := start(t, tt.replicas, tt.cfg)
			s.check = func() {
				if why := s.spread() + s.unpromoted(); why != "" {
					t.Fatal(why)
				}
				for _, sl := range slot.Group(s.State.TasksOf("web")) {
					if n := len(sl.Wanted()); n > 3 {
						t.Fatalf("slot %d has %d tasks that are to run", sl.Number, n)
					}
				}
			}
			tt.then(s)
			for range 5 {
				s.minute()
			}
			s.expect(tt.want, tt.serving, tt.message)
		})
	}
}

func (s *story) minute() { s.until(s.Now.Add(time.Minute), func() bool { return false }) }

func (s *story) drain(node string) {
	s.EditNode(node, func(n *clusterpb.NodeSpec) { n.Availability = clusterpb.NodeSpec_AVAILABILITY_DRAIN })
}

// end makes a task of an image end that serves and is no canary.
func (s *story) end(image string) {
	s.t.Helper()
	for task := range s.State.TasksOf("web") {
		if lifecycle.Serving(task) && !task.GetCanary() && pod.Main(task.GetSpec()).GetImage() == image {
			s.Observe(task, lifecycle.Failed)
			return
		}
	}
	s.t.Fatalf("no task of %s serves", image)
}
