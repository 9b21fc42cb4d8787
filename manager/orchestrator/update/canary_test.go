package update_test

import (
	"testing"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

func canary(n uint32, promote clusterpb.UpdateConfig_Promote) *clusterpb.UpdateConfig {
	return &clusterpb.UpdateConfig{Canary: n, Promote: promote, Monitor: seconds(5)}
}

func promote(u *clusterpb.UpdateStatus) { u.Promoted = true }

func TestCanaryWaitsToBePromoted(t *testing.T) {
	s := start(t, 5, canary(2, 0))
	s.image("v2")
	s.run()
	s.expect(canaryWaits, "5 v1, 2 v2", "2 canaries run and wait to be promoted")
	if s.minServing < 5 {
		t.Errorf("only %d slots served", s.minServing)
	}
	s.steer(promote)
	s.run()
	s.expect(completed, "5 v2", "update completed")
	for task := range s.State.TasksOf("web") {
		if task.GetCanary() {
			t.Errorf("task %s is still a canary", task.GetId())
		}
	}
}

func TestCanaryPromotesItself(t *testing.T) {
	s := start(t, 5, canary(2, clusterpb.UpdateConfig_PROMOTE_AUTO))
	s.image("v2")
	s.run()
	s.expect(completed, "5 v2", "")
}

func TestCanaryThatFailsIsTakenBack(t *testing.T) {
	s := start(t, 5, canary(2, clusterpb.UpdateConfig_PROMOTE_AUTO))
	before := s.ids()
	s.image("bad")
	s.failing("bad", 2)
	s.run()
	s.expect(rollbackCompleted, "5 v1", "")
	after := s.ids()
	for id := range before {
		if !after[id] {
			t.Errorf("task %s, which served all along, was replaced", id)
		}
	}
	if s.minServing < 5 {
		t.Errorf("only %d slots served", s.minServing)
	}
}

func TestCanaryThatFailsWhileItWaits(t *testing.T) {
	s := start(t, 3, canary(1, 0))
	s.image("v2")
	s.run()
	s.expect(canaryWaits, "3 v1, 1 v2", "")
	for task := range s.State.TasksOf("web") {
		if task.GetCanary() {
			s.Observe(task, lifecycle.Failed)
		}
	}
	s.run()
	s.expect(rollbackCompleted, "3 v1", "")
}

func TestCanaryLostWithItsNodeIsMadeAgain(t *testing.T) {
	s := start(t, 3, canary(1, 0))
	s.image("v2")
	s.run()
	for task := range s.State.TasksOf("web") {
		if task.GetCanary() && lifecycle.Serving(task) {
			s.SetNode(task.GetNodeId(), clusterpb.NodeStatus_STATE_DOWN)
			break
		}
	}
	s.run()
	s.expect(canaryWaits, "3 v1, 1 v2", "")
}

// Blue-green: all of the new beside all of the old, then one step.
func TestBlueGreen(t *testing.T) {
	s := start(t, 4, canary(4, 0))
	s.image("v2")
	s.run()
	s.expect(canaryWaits, "4 v1, 4 v2", "")
	s.steer(promote)
	moved := s.Now
	s.until(s.Now.Add(time.Hour), func() bool { return s.serving("v1") == 0 })
	if s.Now != moved || s.minServing < 4 {
		t.Errorf("moved after %s with at least %d serving, want at once with 4", s.Now.Sub(moved), s.minServing)
	}
	s.run()
	s.expect(completed, "4 v2", "")
}

// A failure of an old task does not bring in what is on trial.
func TestOldTasksStayOldBesideCanaries(t *testing.T) {
	s := start(t, 4, canary(1, 0))
	s.image("v2")
	s.run()
	for task := range s.State.TasksOf("web") {
		if lifecycle.Serving(task) && !task.GetCanary() && task.GetSlot() == 3 {
			s.Observe(task, lifecycle.Failed)
		}
	}
	s.run()
	s.expect(canaryWaits, "4 v1, 1 v2", "")
}
