package update

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/control/controltest"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/raftstore/state"
)

// TestRolloutOfTheMostSlots: all slots that a service may have are taken at
// once and fail at once, and each step fits a log entry, and the service a
// snapshot.
func TestRolloutOfTheMostSlots(t *testing.T) {
	const most = 65_533
	w := controltest.New(t)
	w.AddNode("a")
	w.Put("web", func(s *clusterpb.ServiceSpec) {
		s.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: most}}
		s.Task.Restart = &clusterpb.RestartPolicy{Condition: clusterpb.RestartPolicy_CONDITION_NONE}
	})
	old := w.Service("web")
	w.Put("web", func(s *clusterpb.ServiceSpec) {
		pod.Main(s.Task).Image = "v2"
		s.Update = &clusterpb.UpdateConfig{
			Parallelism: new(uint32(0)), Monitor: durationpb.New(time.Second), FailureAction: clusterpb.UpdateConfig_FAILURE_ACTION_CONTINUE,
		}
	})
	var tasks []*raftpb.Change
	for i := range most {
		tasks = append(tasks, state.CreateTask(&clusterpb.Task{
			Id: fmt.Sprint("old", i), ServiceId: "web", Slot: uint32(i + 1), NodeId: "a", SpecVersion: old.GetSpecVersion(), Spec: old.GetSpec().GetTask(),
			Desired: lifecycle.Running, Status: &clusterpb.TaskStatus{State: lifecycle.Running},
		}))
	}
	w.Apply(tasks...)
	plan := func() {
		t.Helper()
		for step := 0; ; step++ {
			changes, again := Controller(w.ID, time.Time{}).Plan(w.State, "web", w.Now)
			for _, c := range changes {
				if n := proto.Size(c); n > state.MaxCommand/2 {
					t.Fatalf("a change of %d bytes", n)
				}
			}
			w.Apply(changes...)
			if len(changes) == 0 || again != time.Millisecond {
				return
			}
			if step > 100 {
				t.Fatal("the progress is never written down")
			}
		}
	}
	plan()
	if n := len(w.Service("web").GetUpdate().GetProgress()); n != most {
		t.Fatalf("%d slots were begun", n)
	}

	var ends []*raftpb.Change
	for _, task := range slices.Collect(w.State.TasksOf("web")) {
		if task.GetSpecVersion() != old.GetSpecVersion() {
			ends = append(ends, state.ObserveTask(task.GetId(), &clusterpb.TaskStatus{State: lifecycle.Failed, Err: strings.Repeat("no such file ", 70)}))
		}
	}
	if len(ends) != most {
		t.Fatalf("%d tasks were made", len(ends))
	}
	w.Apply(ends...)
	plan()
	svc := w.Service("web")
	if n := rollout.Failed(svc.GetUpdate()); n != most {
		t.Errorf("%d slots failed", n)
	}
	if n := proto.Size(svc); n > 5*state.MaxCommand {
		t.Errorf("the service has %d bytes", n)
	}

	// The user lets it go on: what failed is tried again.
	next := rollout.GiveUp(svc.GetUpdate(), "enough")
	w.Apply(state.SetUpdateStatus(svc, next))
	resumed, err := rollout.Resume(w.Service("web"), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	change := state.SetUpdateStatus(w.Service("web"), resumed)
	if n := proto.Size(change); n > state.MaxCommand/2 {
		t.Errorf("resuming takes %d bytes", n)
	}
	w.Apply(change)
	if n := len(w.Service("web").GetUpdate().GetProgress()); n != 0 {
		t.Errorf("%d slots are still begun", n)
	}
}

// TestResumedSlotHasItsTime: a slot that was begun before a pause has all of its
// progress deadline before it once the rollout goes on.
func TestResumedSlotHasItsTime(t *testing.T) {
	s := controltest.New(t)
	for _, image := range []string{"v1", "v2"} {
		s.Put("web", func(spec *clusterpb.ServiceSpec) {
			pod.Main(spec.Task).Image = image
			spec.Update = &clusterpb.UpdateConfig{ProgressDeadline: durationpb.New(time.Minute)}
		})
	}
	for _, resumed := range []bool{false, true} {
		p := newPlanner(s.Service("web"), nil, s.State.Node, s.ID, s.Now)
		if resumed {
			p.status.ResumedAt = timestamppb.New(s.Now.Add(-time.Second))
		}
		e := &clusterpb.SlotUpdate{Slot: 1, StartedAt: timestamppb.New(s.Now.Add(-2 * time.Minute))}
		p.checkDeadline(e, slot.Slot{Number: 1})
		if e.GetFailed() == resumed {
			t.Errorf("resumed: %t, failed: %t", resumed, e.GetFailed())
		}
	}
}
