package state_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

func TestTaskLife(t *testing.T) {
	start := storetest.Start()
	at := func(seconds int) *timestamppb.Timestamp {
		return timestamppb.New(start.Add(time.Duration(seconds) * time.Second))
	}
	s := storetest.State(t, storetest.Ingress(), node("n1"), task("t1", "s1"))
	check := func(want *clusterpb.Task) {
		t.Helper()
		got, _ := s.Task("t1")
		if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
			t.Fatalf("task (-want +got):\n%s", d)
		}
	}
	want := &clusterpb.Task{
		Id: "t1", ServiceId: "s1", Slot: 1, Version: 1, CreatedAt: at(0),
		Desired: lifecycle.Running, DesiredIndex: 1, DesiredAt: at(0),
		Status: &clusterpb.TaskStatus{State: lifecycle.New, At: at(0), AppliedAt: at(0)},
	}
	check(want)

	s = storetest.Apply(t, s, state.AssignTask("t1", "n1", storetest.Attached("10.0.0.2", "fd00::2")))
	want.Version, want.NodeId, want.Attachments = 2, "n1", storetest.Attached("10.0.0.2", "fd00::2")
	want.Status = &clusterpb.TaskStatus{State: lifecycle.Assigned, At: at(1), AppliedAt: at(1)}
	check(want)

	// The worker's clock is not the leader's; a state keeps the time it began.
	s = storetest.Apply(t, s, state.ObserveTask("t1", &clusterpb.TaskStatus{State: lifecycle.Preparing, At: at(500), Message: "pulling"}))
	s = storetest.Apply(t, s, state.ObserveTask("t1", &clusterpb.TaskStatus{State: lifecycle.Preparing, At: at(501), Message: "42 %"}))
	want.Version = 4
	want.Status = &clusterpb.TaskStatus{State: lifecycle.Preparing, At: at(501), AppliedAt: at(2), Message: "42 %"}
	check(want)

	s = storetest.Apply(t, s, state.SetDesired("t1", lifecycle.Shutdown, ""))
	want.Version, want.Desired, want.DesiredIndex, want.DesiredAt = 5, lifecycle.Shutdown, 5, at(4)
	check(want)

	s = storetest.Apply(t, s, state.DeleteTask("t1"))
	if _, ok := s.Task("t1"); ok {
		t.Error("the task is still there")
	}
}

// TestStopThatNobodyAskedFor has failed: managers follow it with a back-off, as
// any failure, and not at once for as long as a node says so.
func TestStopThatNobodyAskedFor(t *testing.T) {
	for desired, want := range map[clusterpb.TaskState]clusterpb.TaskState{
		lifecycle.Running:  lifecycle.Failed,
		lifecycle.Shutdown: lifecycle.Shutdown,
		lifecycle.Remove:   lifecycle.Shutdown,
	} {
		s := storetest.State(t, storetest.Ingress(), node("n1"), task("t1", "s1"), state.AssignTask("t1", "n1", storetest.Attached("10.0.0.2", "fd00::2")))
		s = storetest.Apply(t, s, state.SetDesired("t1", desired, ""))
		s = storetest.Apply(t, s, state.ObserveTask("t1", &clusterpb.TaskStatus{State: lifecycle.Shutdown}))
		stopped, _ := s.Task("t1")
		if got := stopped.GetStatus(); got.GetState() != want || (got.GetErr() != "") != (want == lifecycle.Failed) {
			t.Errorf("wanted %v, it stopped: %v, want %v", desired, got, want)
		}
	}
}

func TestTaskIndexes(t *testing.T) {
	s := storetest.State(t, storetest.Ingress(), node("n1"), node("n2"),
		task("t1", "s1"), task("t2", "s1"), task("t3", "s2"), task("t4", "s2"), task("t5", "s2"),
		state.AssignTask("t1", "n1", storetest.Attached("10.0.0.1")),
		state.AssignTask("t2", "n2", storetest.Attached("10.0.0.2")),
		state.AssignTask("t3", "n1", storetest.Attached("10.0.0.3")),
		observe("t3", lifecycle.Failed),
		state.SetDesired("t4", lifecycle.Remove, ""),
	)
	ids := func(tasks func(func(*clusterpb.Task) bool)) (ids []string) {
		for t := range tasks {
			ids = append(ids, t.GetId())
		}
		return ids
	}
	check := func(what string, want, got []string) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	check("all", []string{"t1", "t2", "t3", "t4", "t5"}, ids(s.Tasks()))
	check("of s1", []string{"t1", "t2"}, ids(s.TasksOf("s1")))
	check("of no service", nil, ids(s.TasksOf("s")))
	check("on n1", []string{"t1", "t3"}, ids(s.TasksOn("n1")))
	check("on no node", nil, ids(s.TasksOn("")))
	check("unassigned", []string{"t5"}, ids(s.UnassignedTasks()))
	check("addresses", []string{"10.0.0.1", "10.0.0.2"}, slices.Collect(s.Addresses()))
	if !s.AddressUsed("10.0.0.1") || s.AddressUsed("10.0.0.3") || s.AddressUsed("10.0.0") {
		t.Error("AddressUsed does not agree with Addresses")
	}
	// Free again once its task has ended.
	s = storetest.Apply(t, s, state.AssignTask("t5", "n2", storetest.Attached("10.0.0.3")))
	check("addresses", []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, slices.Collect(s.Addresses()))
}

func TestTasksShareTheSpecOfTheirService(t *testing.T) {
	s := storetest.State(t, service("s1", "web"))
	spec := &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "nginx"}}}
	s = storetest.Apply(t, s,
		state.CreateTask(&clusterpb.Task{Id: "t1", ServiceId: "s1", Spec: spec}),
		state.CreateTask(&clusterpb.Task{Id: "t2", ServiceId: "s1", Spec: &clusterpb.TaskSpec{Hostname: "own"}}))
	s = storetest.Apply(t, s, observe("t1", lifecycle.Pending))
	t1, _ := s.Task("t1")
	if t1.GetSpec() != get(t, s).GetSpec().GetTask() {
		t.Error("an equal spec was kept twice")
	}
	if t2, _ := s.Task("t2"); t2.GetSpec().GetHostname() != "own" {
		t.Error("a task lost its own spec")
	}
}
