package update_test

import (
	"testing"
	"time"

	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// TestStartFirstKeepsTheOldTaskOnTrial: what falls right after it started leaves
// no slot empty, and what it goes back to was never stopped.
func TestStartFirstKeepsTheOldTaskOnTrial(t *testing.T) {
	for name, tt := range map[string]struct {
		action clusterpb.UpdateConfig_FailureAction
		want   clusterpb.UpdateStatus_State
	}{
		"rollback": {rollBack, rollbackCompleted},
		"pause":    {clusterpb.UpdateConfig_FAILURE_ACTION_PAUSE, paused},
		"continue": {goOn, completed},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, 3, &clusterpb.UpdateConfig{Order: startFirst, Monitor: seconds(5), FailureAction: tt.action})
			before := s.ids()
			s.failing("bad")
			s.image("bad")
			s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == tt.want })
			s.expect(tt.want, "3 v1", "")
			for id := range before {
				if task, _ := s.State.Task(id); !lifecycle.Serving(task) {
					t.Errorf("task %s was replaced", id)
				}
			}
			if s.minServing < 3 {
				t.Errorf("only %d slots served at a time", s.minServing)
			}
		})
	}
}

// TestOvertakenOnTrial: a slot has no more than two tasks, however often a
// rollout is overtaken.
func TestOvertakenOnTrial(t *testing.T) {
	s := start(t, 2, &clusterpb.UpdateConfig{Order: startFirst, Monitor: seconds(30)})
	s.check = func() {
		for _, sl := range slot.Group(s.State.TasksOf("web")) {
			if n := len(sl.Wanted()); n > 2 {
				t.Fatalf("slot %d has %d tasks", sl.Number, n)
			}
		}
	}
	for _, image := range []string{"v2", "v3", "v4"} {
		s.image(image)
		s.until(s.Now.Add(10*time.Second), func() bool { return false })
	}
	s.run()
	s.expect(completed, "2 v4", "")
	if s.minServing < 2 {
		t.Errorf("only %d slots served at a time", s.minServing)
	}
}
