package update_test

import (
	"testing"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

func TestRollback(t *testing.T) {
	t.Run("leaves alone what was not changed", func(t *testing.T) {
		s := start(t, 4, &clusterpb.UpdateConfig{FailureAction: rollBack, MaxFailureRatio: 0.25})
		before := s.ids()
		s.image("bad")
		s.failing("bad", 2, 1)
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == rollbackCompleted })
		s.expect(rollbackCompleted, "4 v1", "rollback completed")
		after := s.ids()
		kept := 0
		for id := range before {
			if after[id] {
				kept++
			}
		}
		if kept != 2 { // slots 1 and 2 were replaced twice
			t.Errorf("%d tasks were kept, want 2", kept)
		}
	})
	t.Run("of a restart too", func(t *testing.T) {
		s := start(t, 4, &clusterpb.UpdateConfig{FailureAction: rollBack})
		before := s.ids()
		s.Restart("web")
		failed := false
		s.behave = func(task *clusterpb.Task, next clusterpb.TaskState) clusterpb.TaskState {
			if next == lifecycle.Running && !before[task.GetId()] && !failed {
				failed, next = true, lifecycle.Failed
			}
			return next
		}
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == rollbackCompleted })
		s.expect(rollbackCompleted, "4 v1", "rollback completed")
		kept := 0
		for id := range s.ids() {
			if before[id] {
				kept++
			}
		}
		if kept != 3 { // the restart got no further than slot 1
			t.Errorf("%d tasks were kept, want 3", kept)
		}
		s.Restart("web")
		s.run()
		for id := range s.ids() {
			if before[id] {
				t.Errorf("task %s was not restarted", id)
			}
		}
		if got := s.Service("web").GetRestarts(); got != 2 {
			t.Errorf("that is restart %d, want 2", got)
		}
	})
	t.Run("a rollback that fails pauses", func(t *testing.T) {
		s := start(t, 2, &clusterpb.UpdateConfig{FailureAction: rollBack})
		s.image("bad")
		s.behave = func(task *clusterpb.Task, next clusterpb.TaskState) clusterpb.TaskState {
			if next == lifecycle.Running && task.GetStatus().GetState() != lifecycle.Running {
				return lifecycle.Failed
			}
			return next
		}
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == rollbackPaused })
		s.expect(rollbackPaused, "1 v1", "rollback paused: task ")
	})
	t.Run("a rollback that fails goes on if told to", func(t *testing.T) {
		s := start(t, 2, &clusterpb.UpdateConfig{FailureAction: rollBack}, func(spec *clusterpb.ServiceSpec) {
			spec.Rollback = &clusterpb.UpdateConfig{FailureAction: goOn}
		})
		s.image("bad")
		back := 0
		s.behave = func(task *clusterpb.Task, next clusterpb.TaskState) clusterpb.TaskState {
			old := pod.Main(task.GetSpec()).GetImage() == "v1"
			if next != lifecycle.Running || task.GetStatus().GetState() == lifecycle.Running || old && back == 1 {
				return next
			}
			if old {
				back++ // the first one of the rollback fails too
			}
			return lifecycle.Failed
		}
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == rollbackCompleted })
		s.run()
		s.expect(rollbackCompleted, "2 v1", "rollback completed, 1 of ")
	})
	t.Run("goes back over specs that never were rolled out", func(t *testing.T) {
		s := start(t, 2, &clusterpb.UpdateConfig{FailureAction: rollBack})
		s.failing("bad")
		s.Put("web", func(spec *clusterpb.ServiceSpec) {
			pod.Main(spec.Task).Image = "bad"
			spec.Update = nil // pauses
		})
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == paused })
		s.Put("web", func(spec *clusterpb.ServiceSpec) {
			pod.Main(spec.Task).Image = "bad"
			pod.Main(spec.Task).Env = []string{"TRY=2"}
			spec.Update = &clusterpb.UpdateConfig{FailureAction: rollBack}
		})
		s.run()
		s.expect(rollbackCompleted, "2 v1", "")
	})
	t.Run("keeps a scale that came later", func(t *testing.T) {
		s := start(t, 2, &clusterpb.UpdateConfig{FailureAction: rollBack, Monitor: seconds(30)})
		s.image("bad")
		s.until(s.Now.Add(10*time.Second), func() bool { return false })
		s.Put("web", func(spec *clusterpb.ServiceSpec) {
			spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 5}}
		})
		s.failing("bad")
		s.run()
		s.expect(rollbackCompleted, "5 v1", "")
	})
	t.Run("by the user", func(t *testing.T) {
		s := start(t, 3, nil)
		s.image("v2")
		s.run()
		svc := s.Service("web")
		history := svc.GetHistory()
		s.Apply(state.PutService(&raftpb.PutService{
			Id: svc.GetId(), Version: svc.GetVersion(), Spec: history[len(history)-1].GetSpec(), Rollback: true,
		}))
		s.run()
		s.expect(rollbackCompleted, "3 v1", "rollback completed")
	})
}

func (s *story) ids() map[string]bool {
	out := make(map[string]bool)
	for t := range s.State.TasksOf("web") {
		if lifecycle.Serving(t) {
			out[t.GetId()] = true
		}
	}
	return out
}

// TestRollbackOfASlotThatWasGivenUp: a canary that was lost beside a task which is
// not to be restarted is no sign that its slot is: the rollback comes to its end.
func TestRollbackOfASlotThatWasGivenUp(t *testing.T) {
	cfg := &clusterpb.UpdateConfig{Canary: 1, ProgressDeadline: seconds(30)}
	s := start(t, 1, cfg, func(spec *clusterpb.ServiceSpec) {
		spec.Task.Restart = &clusterpb.RestartPolicy{Condition: clusterpb.RestartPolicy_CONDITION_NONE}
	})
	s.image("v2")
	s.until(s.Now.Add(time.Minute), func() bool { return s.serving("v2") == 1 })
	var canary *clusterpb.Task
	for task := range s.State.TasksOf("web") {
		if task.GetCanary() {
			canary = task
		} else {
			s.Observe(task, lifecycle.Failed)
		}
	}
	s.Apply(state.SetDesired(canary.GetId(), lifecycle.Shutdown, ""))
	s.run()
	if got := s.status(); got.GetState() != rollbackCompleted {
		t.Errorf("the rollback is %s", got)
	}
}
