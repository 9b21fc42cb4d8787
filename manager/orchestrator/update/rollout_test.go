package update_test

import (
	"strings"
	"testing"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
)

func TestStopFirst(t *testing.T) {
	s := start(t, 6, &clusterpb.UpdateConfig{Parallelism: new(uint32(2))})
	s.image("v2")
	s.run()
	s.expect(completed, "6 v2", "update completed")
	if s.maxBusy != 2 || s.minServing != 4 {
		t.Errorf("%d slots at a time, at least %d serving, want 2 and 4", s.maxBusy, s.minServing)
	}
	if s.status().GetSlots() != 6 {
		t.Errorf("slots %d, want 6", s.status().GetSlots())
	}
}

// One task at a time, each watched for the monitor period, with a pause after.
func TestPace(t *testing.T) {
	s := start(t, 3, &clusterpb.UpdateConfig{Monitor: seconds(4), Delay: seconds(10)})
	s.image("v2")
	began := s.Now
	s.until(s.Now.Add(time.Hour), func() bool { return s.status().GetState() == completed })
	if got, want := s.Now.Sub(began), 3*4*time.Second+2*10*time.Second; got != want {
		t.Errorf("took %s, want %s", got, want)
	}
}

func TestNoMonitorNoDelay(t *testing.T) {
	s := start(t, 30, &clusterpb.UpdateConfig{Parallelism: new(uint32(0)), Monitor: seconds(0)})
	s.image("v2")
	began := s.Now
	s.until(s.Now.Add(time.Hour), func() bool { return s.status().GetState() == completed })
	if s.Now != began {
		t.Errorf("took %s though there is nothing to wait for", s.Now.Sub(began))
	}
	s.expect(completed, "30 v2", "")
}

func TestStartFirst(t *testing.T) {
	s := start(t, 5, &clusterpb.UpdateConfig{Parallelism: new(uint32(2)), Order: startFirst})
	s.image("v2")
	s.run()
	s.expect(completed, "5 v2", "")
	if s.maxBusy != 2 || s.minServing != 5 {
		t.Errorf("%d slots at a time, at least %d serving, want 2 and 5", s.maxBusy, s.minServing)
	}
}

func TestStartFirstWithHostPortStopsFirst(t *testing.T) {
	s := start(t, 3, &clusterpb.UpdateConfig{Order: startFirst}, func(spec *clusterpb.ServiceSpec) {
		spec.Ports = []*clusterpb.Port{{Target: 80, Published: 80, Mode: clusterpb.Port_MODE_HOST}}
	})
	s.check = func() {
		bound := make(map[string]int)
		for task := range s.State.TasksOf("web") {
			if st := task.GetStatus().GetState(); st == lifecycle.Running {
				if bound[task.GetNodeId()]++; bound[task.GetNodeId()] > 1 {
					t.Fatalf("two tasks run with the port on node %s", task.GetNodeId())
				}
			}
		}
	}
	s.image("v2")
	s.run()
	s.expect(completed, "3 v2", "")
}

// A held task is prepared while its predecessor drains, and not started before
// that has stopped, however long it takes.
func TestHeldUntilThePredecessorStopped(t *testing.T) {
	s := start(t, 1, nil)
	s.image("v2")
	s.behave = func(task *clusterpb.Task, next clusterpb.TaskState) clusterpb.TaskState {
		if next == lifecycle.Shutdown {
			return lifecycle.Running // still draining
		}
		return next
	}
	s.until(s.Now.Add(9*time.Minute), func() bool { return false })
	prepared := false
	for task := range s.State.TasksOf("web") {
		if pod.Main(task.GetSpec()).GetImage() == "v2" {
			prepared = task.GetStatus().GetState() == lifecycle.Ready && task.GetDesired() == lifecycle.Ready
		}
	}
	if !prepared {
		t.Error("the new task is not prepared and held")
	}
	s.behave = nil
	s.run()
	s.expect(completed, "1 v2", "")
}

func TestFailureActions(t *testing.T) {
	t.Run("pause", func(t *testing.T) {
		s := start(t, 4, nil)
		s.image("bad")
		s.failing("bad")
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == paused })
		s.expect(paused, "3 v1", "update paused: task ")
		s.run()
		if got := s.serving("v1"); got != 3 {
			t.Errorf("%d of the old tasks serve, want 3 left alone", got)
		}
	})
	t.Run("resume tries again", func(t *testing.T) {
		s := start(t, 4, nil)
		s.image("v2")
		s.failing("v2")
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == paused })
		s.behave = nil
		s.Now = s.Now.Add(time.Second)
		s.steer(s.resume)
		s.run()
		s.expect(completed, "4 v2", "update completed")
		for _, e := range s.status().GetProgress() {
			if e.GetFailed() {
				t.Errorf("slot %d still counts as failed", e.GetSlot())
			}
		}
	})
	t.Run("resume in vain pauses again", func(t *testing.T) {
		s := start(t, 4, nil)
		s.image("v2")
		s.failing("v2")
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == paused })
		s.Now = s.Now.Add(time.Second)
		s.steer(s.resume)
		s.run()
		s.expect(paused, "3 v1", "slot 1")
	})
	t.Run("continue", func(t *testing.T) {
		s := start(t, 4, &clusterpb.UpdateConfig{FailureAction: goOn})
		s.image("v2")
		s.failing("v2", 2)
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == completed })
		if got := s.serving("v1"); got != 0 || s.status().GetMessage() != "update completed, 1 of 4 slots failed" {
			t.Errorf("%d old tasks, %q", got, s.status().GetMessage())
		}
	})
	t.Run("continue, start-first keeps what serves", func(t *testing.T) {
		s := start(t, 4, &clusterpb.UpdateConfig{FailureAction: goOn, Order: startFirst})
		s.image("v2")
		s.behave = func(task *clusterpb.Task, next clusterpb.TaskState) clusterpb.TaskState {
			if next == lifecycle.Running && pod.Main(task.GetSpec()).GetImage() == "v2" && task.GetSlot() == 2 && task.GetStatus().GetState() != lifecycle.Running {
				return lifecycle.Failed
			}
			return next
		}
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() == completed })
		s.expect(completed, "1 v1, 3 v2", "1 of 4 slots failed")
		s.behave = nil
		s.run()
		s.expect(completed, "4 v2", "") // the retries went on
		if s.minServing < 4 {
			t.Errorf("only %d served at a time", s.minServing)
		}
	})
	t.Run("a tolerated ratio", func(t *testing.T) {
		s := start(t, 4, &clusterpb.UpdateConfig{MaxFailureRatio: 0.25})
		s.image("v2")
		s.failing("v2", 2)
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() != updating })
		if s.status().GetState() != completed {
			t.Errorf("%s: %s", s.status().GetState(), s.status().GetMessage())
		}
	})
	t.Run("more than the ratio", func(t *testing.T) {
		s := start(t, 4, &clusterpb.UpdateConfig{MaxFailureRatio: 0.25})
		s.image("v2")
		s.failing("v2", 2, 3)
		s.until(s.Now.Add(time.Minute), func() bool { return s.status().GetState() != updating })
		if s.status().GetState() != paused {
			t.Errorf("%s: %s", s.status().GetState(), s.status().GetMessage())
		}
	})
}

func TestProgressDeadline(t *testing.T) {
	s := start(t, 2, &clusterpb.UpdateConfig{ProgressDeadline: seconds(60)})
	s.image("v2")
	began := s.Now
	s.behave = func(task *clusterpb.Task, next clusterpb.TaskState) clusterpb.TaskState {
		if pod.Main(task.GetSpec()).GetImage() == "v2" && next < lifecycle.Shutdown {
			return lifecycle.Preparing // the image never comes
		}
		return next
	}
	s.until(s.Now.Add(time.Hour), func() bool { return s.status().GetState() == paused })
	s.expect(paused, "1 v1", "not running after 1m")
	if took := s.Now.Sub(began); took < time.Minute || took > 90*time.Second {
		t.Errorf("decided after %s, want about a minute", took)
	}
	if !strings.Contains(s.status().GetMessage(), "preparing") {
		t.Errorf("message %q does not say where it is stuck", s.status().GetMessage())
	}
}

// The replacement of a task that was lost with its node is not a failure, but
// one that fails afterwards is.
func TestNodeLossIsNoFailure(t *testing.T) {
	s := start(t, 3, &clusterpb.UpdateConfig{Monitor: seconds(30)})
	s.image("v2")
	var node string
	s.until(s.Now.Add(time.Hour), func() bool {
		for task := range s.State.TasksOf("web") {
			if lifecycle.Serving(task) && pod.Main(task.GetSpec()).GetImage() == "v2" {
				node = task.GetNodeId()
			}
		}
		return node != ""
	})
	s.SetNode(node, clusterpb.NodeStatus_STATE_DOWN)
	s.run()
	s.expect(completed, "3 v2", "update completed")
	if s.failedSlots() != 0 {
		t.Errorf("%d slots failed", s.failedSlots())
	}
}

func (s *story) failedSlots() (n int) {
	for _, e := range s.status().GetProgress() {
		if e.GetFailed() {
			n++
		}
	}
	return n
}

// TestWhatWasFinishedFails: a task that falls after its monitor period stops a
// rollout that still runs, before the next slot is taken.
func TestWhatWasFinishedFails(t *testing.T) {
	for name, delay := range map[string]int{"at once": 0, "with a delay between slots": 5} {
		t.Run(name, func(t *testing.T) {
			s := start(t, 4, &clusterpb.UpdateConfig{Monitor: seconds(3), Delay: seconds(delay), FailureAction: rollBack})
			s.image("v2")
			s.behave = func(task *clusterpb.Task, next clusterpb.TaskState) clusterpb.TaskState {
				ran := task.GetStatus().GetState() == lifecycle.Running && pod.Main(task.GetSpec()).GetImage() == "v2"
				if next == lifecycle.Running && ran && s.Now.Sub(task.GetRunningAt().AsTime()) >= 3100*time.Millisecond {
					return lifecycle.Failed
				}
				return next
			}
			s.run()
			s.expect(rollbackCompleted, "4 v1", "rollback completed, after: task ")
			if s.minServing < 2 {
				t.Errorf("only %d served at a time", s.minServing)
			}
		})
	}
}

// TestWhatWasFinishedMoves: a slot whose task is lost with its node is waited
// for before the next one is taken.
func TestWhatWasFinishedMoves(t *testing.T) {
	s := start(t, 3, &clusterpb.UpdateConfig{Monitor: seconds(3)})
	s.image("v2")
	s.until(s.Now.Add(time.Hour), func() bool { return s.serving("v2") == 2 })
	for task := range s.State.TasksOf("web") {
		if lifecycle.Serving(task) && pod.Main(task.GetSpec()).GetImage() == "v2" {
			s.SetNode(task.GetNodeId(), clusterpb.NodeStatus_STATE_DOWN)
			break
		}
	}
	s.run()
	s.expect(completed, "3 v2", "")
	if s.minServing < 1 {
		t.Errorf("only %d served at a time", s.minServing)
	}
}

// TestRejectedTasks: what no node can prepare is tried as rarely as what fails
// while it runs.
func TestRejectedTasks(t *testing.T) {
	s := start(t, 1, &clusterpb.UpdateConfig{FailureAction: goOn})
	s.behave = func(task *clusterpb.Task, next clusterpb.TaskState) clusterpb.TaskState {
		if pod.Main(task.GetSpec()).GetImage() == "bad" && next >= lifecycle.Ready {
			return lifecycle.Rejected
		}
		return next
	}
	seen := make(map[string]bool)
	s.check = func() {
		for task := range s.State.TasksOf("web") {
			if pod.Main(task.GetSpec()).GetImage() == "bad" {
				seen[task.GetId()] = true
			}
		}
	}
	s.image("bad")
	s.until(s.Now.Add(time.Hour), func() bool { return len(seen) > 50 })
	if len(seen) < 10 || len(seen) > 25 { // 5 s doubles up to 5 min
		t.Errorf("%d tasks in an hour", len(seen))
	}
}

// TestDrainWhileARollbackIsPaused: the task of a slot that no rollout changed
// moves with the spec that it has.
func TestDrainWhileARollbackIsPaused(t *testing.T) {
	s := start(t, 3, &clusterpb.UpdateConfig{Order: startFirst, Monitor: seconds(60)})
	s.image("v2")
	s.until(s.Now.Add(time.Hour), func() bool { return s.serving("v2") == 1 })
	s.image("v1") // as a rollback does
	s.steer(func(u *clusterpb.UpdateStatus) { u.State, u.PausedFrom = paused, updating })
	for task := range s.State.TasksOf("web") {
		if lifecycle.Serving(task) && pod.Main(task.GetSpec()).GetImage() == "v1" {
			s.EditNode(task.GetNodeId(), func(n *clusterpb.NodeSpec) { n.Availability = clusterpb.NodeSpec_AVAILABILITY_DRAIN })
			break
		}
	}
	created := make(map[string]bool)
	s.check = func() {
		for task := range s.State.TasksOf("web") {
			created[task.GetId()] = true
		}
	}
	s.until(s.Now.Add(time.Hour), func() bool { return len(created) > 30 })
	if len(created) > 30 {
		t.Errorf("%d tasks were made", len(created))
	}
}

func TestPauseAndResume(t *testing.T) {
	s := start(t, 5, nil)
	s.image("v2")
	s.until(s.Now.Add(time.Hour), func() bool { return s.serving("v2") == 2 })
	s.steer(func(u *clusterpb.UpdateStatus) { u.PausedFrom, u.State = u.GetState(), paused })
	s.run()
	s.expect(paused, "3 v1, 2 v2", "")

	// Meanwhile a failure is replaced in kind.
	for task := range s.State.TasksOf("web") {
		if lifecycle.Serving(task) {
			s.Observe(task, lifecycle.Failed)
		}
	}
	s.run()
	s.expect(paused, "3 v1, 2 v2", "")

	// And scaling does not take it further.
	s.Put("web", func(spec *clusterpb.ServiceSpec) {
		spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 6}}
	})
	s.run()
	s.expect(paused, "4 v1, 2 v2", "")

	s.steer(s.resume)
	s.run()
	s.expect(completed, "6 v2", "update completed")
}

func TestNewSpecOnTheWay(t *testing.T) {
	for name, order := range map[string]clusterpb.UpdateConfig_Order{"stop-first": 0, "start-first": startFirst} {
		t.Run(name, func(t *testing.T) {
			s := start(t, 5, &clusterpb.UpdateConfig{Parallelism: new(uint32(2)), Order: order})
			s.image("v2")
			s.until(s.Now.Add(time.Hour), func() bool { return s.serving("v2") == 3 })
			s.image("v3")
			s.run()
			s.expect(completed, "5 v3", "")
			if s.maxBusy > 2 {
				t.Errorf("%d slots at a time", s.maxBusy)
			}
		})
	}
}

// Only what is in the task or its ports rolls tasks.
func TestWhatDoesNotRoll(t *testing.T) {
	changes := map[string]func(*clusterpb.ServiceSpec){
		"labels":        func(s *clusterpb.ServiceSpec) { s.Labels = map[string]string{"a": "b"} },
		"update config": func(s *clusterpb.ServiceSpec) { s.Update = &clusterpb.UpdateConfig{Delay: seconds(1)} },
		"scale": func(s *clusterpb.ServiceSpec) {
			s.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 4}}
		},
		"placement that still fits": func(s *clusterpb.ServiceSpec) {
			s.Task.Placement = &clusterpb.Placement{Constraints: []string{"node.platform.os==linux"}}
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			s := start(t, 3, nil)
			before := s.ids()
			s.Put("web", change)
			s.run()
			after := s.ids()
			for id := range before {
				if !after[id] {
					t.Errorf("task %s was replaced", id)
				}
			}
			if got := s.status().GetState(); got != completed && got != clusterpb.UpdateStatus_STATE_UNSPECIFIED {
				t.Errorf("the rollout is %s", got)
			}
		})
	}
}

func TestPlacementThatNoLongerFits(t *testing.T) {
	s := start(t, 3, nil)
	s.Put("web", func(spec *clusterpb.ServiceSpec) {
		spec.Task.Placement = &clusterpb.Placement{Constraints: []string{"node.id!=a"}}
	})
	s.run()
	moved := 0
	for task := range s.State.TasksOf("web") {
		if lifecycle.Serving(task) && task.GetNodeId() == "a" {
			t.Error("a task is left on node a")
		}
		if task.GetDesired() == lifecycle.Shutdown {
			moved++
		}
	}
	if moved != 1 || s.status().GetState() != completed {
		t.Errorf("%d tasks moved, rollout %s, want 1 and completed", moved, s.status().GetState())
	}
}

// A service whose tasks were given up runs again with a new spec.
func TestGivenUpSlotsAreUpdated(t *testing.T) {
	s := start(t, 2, nil, func(spec *clusterpb.ServiceSpec) {
		spec.Task.Restart = &clusterpb.RestartPolicy{Condition: clusterpb.RestartPolicy_CONDITION_NONE}
	})
	for task := range s.State.TasksOf("web") {
		s.Observe(task, lifecycle.Failed)
	}
	s.run()
	if got := s.serving(""); got != 0 {
		t.Fatalf("%d tasks serve", got)
	}
	s.image("v2")
	s.run()
	s.expect(completed, "2 v2", "")
}

// TestFailureWhileNobodyLed: it happened within the monitor period, and the
// next leader learns of it after that.
func TestFailureWhileNobodyLed(t *testing.T) {
	s := start(t, 3, &clusterpb.UpdateConfig{Monitor: seconds(2)})
	s.image("v2")
	s.until(s.Now.Add(time.Minute), func() bool { return s.serving("v2") == 1 })
	s.Now = s.Now.Add(5 * time.Second)
	s.since = s.Now
	s.Turn(s.controllers()...)
	for task := range s.State.TasksOf("web") {
		if lifecycle.Serving(task) && pod.Main(task.GetSpec()).GetImage() == "v2" {
			s.Now = s.Now.Add(4 * time.Second)
			s.Observe(task, lifecycle.Failed)
			break
		}
	}
	s.run()
	s.expect(paused, "2 v1, 1 v2", "update paused")
}
