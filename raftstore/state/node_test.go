package state_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

func index(t *testing.T, s *state.State, id string) uint32 {
	t.Helper()
	n, ok := s.Node(id)
	if !ok {
		t.Fatalf("no node %s", id)
	}
	return n.GetIndex()
}

func TestNodeIndexIsNotGivenAgainSoon(t *testing.T) {
	never := timestamppb.New(storetest.Start())
	s := storetest.State(t, cluster(), node("a"), node("b"))
	s = storetest.Apply(t, s, state.DeleteNode("a", never), node("c"))
	if got := index(t, s, "c"); got != 3 {
		t.Errorf("index %d, want 3", got)
	}
	if got := s.Cluster().GetLastNodeIndex(); got != 3 {
		t.Errorf("last index %d, want 3", got)
	}
}

func TestNodeIndexWraps(t *testing.T) {
	s := storetest.State(t, cluster())
	var all []*raftpb.Change
	for i := range 32254 {
		all = append(all, node(fmt.Sprintf("n%d", i+1)))
	}
	s = storetest.Apply(t, s, all...)
	_, err := storetest.TryAt(s, s.Time, node("more"))
	if !errdefs.IsResourceExhausted(err) {
		t.Errorf("one too many: %v", err)
	}
	s = storetest.Apply(t, s, state.DeleteNode("n7", nil), state.DeleteNode("n5", nil))
	s = storetest.Apply(t, s, node("more"))
	if got := index(t, s, "more"); got != 5 {
		t.Errorf("index %d, want the lowest free, 5", got)
	}
	s = storetest.Apply(t, s, node("most"))
	if got := index(t, s, "most"); got != 7 {
		t.Errorf("index %d, want 7", got)
	}
}

func TestPutNodeAndObserveNodeMindTheirOwn(t *testing.T) {
	s := storetest.State(t, cluster(), node("n1"))
	s = storetest.Apply(t, s, state.ObserveNode(&raftpb.ObserveNode{
		Id:          "n1",
		Description: &clusterpb.NodeDescription{Hostname: "h1"},
		Status:      &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_READY},
		Images:      &raftpb.NodeImages{Images: []*clusterpb.NodeImage{{Name: "nginx"}}},
	}))
	ready := timestamppb.New(s.Time)
	spec := &clusterpb.NodeSpec{Availability: clusterpb.NodeSpec_AVAILABILITY_DRAIN}
	s = storetest.Apply(t, s, state.PutNode(&raftpb.PutNode{
		Id: "n1", Version: 1, Spec: spec, Role: clusterpb.NodeRole_NODE_ROLE_MANAGER, RaftAddr: "10.0.0.1:2377",
	}))
	s = storetest.Apply(t, s, state.ObserveNode(&raftpb.ObserveNode{
		Id:     "n1",
		Status: &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_READY, Message: "still"},
		Images: &raftpb.NodeImages{},
	}))
	want := &clusterpb.Node{
		Id: "n1", Version: 3, Spec: spec, Role: clusterpb.NodeRole_NODE_ROLE_MANAGER, RaftAddr: "10.0.0.1:2377", Index: 1,
		CreatedAt:   timestamppb.New(storetest.Start()),
		UpdatedAt:   timestamppb.New(s.Time),
		Description: &clusterpb.NodeDescription{Hostname: "h1"},
		Status:      &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_READY, Message: "still", Since: ready},
	}
	got, _ := s.Node("n1")
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("node (-want +got):\n%s", d)
	}
}

func TestDeleteNodeOrphansItsTasks(t *testing.T) {
	s := storetest.State(t, storetest.Ingress(), cluster(), node("n1"), node("n2"),
		task("t1", "s1"), task("t2", "s1"), task("t3", "s1"),
		state.AssignTask("t1", "n1", storetest.Attached("10.0.0.1")),
		state.AssignTask("t2", "n1", nil),
		state.AssignTask("t3", "n2", nil),
		state.ObserveTask("t1", &clusterpb.TaskStatus{State: lifecycle.Running, Containers: []*clusterpb.ContainerStatus{{Id: "c1"}}}),
		observe("t2", lifecycle.Complete),
		state.ObserveNode(&raftpb.ObserveNode{Id: "n1", Description: &clusterpb.NodeDescription{Hostname: "h1"}}),
	)
	s = storetest.Apply(t, s, state.DeleteNode("n1", timestamppb.New(storetest.Start())))
	now := timestamppb.New(s.Time)
	t1, _ := s.Task("t1")
	want := &clusterpb.TaskStatus{
		State: lifecycle.Orphaned, At: now, AppliedAt: now, Err: "node h1 was removed", Containers: []*clusterpb.ContainerStatus{{Id: "c1"}},
	}
	if d := cmp.Diff(want, t1.GetStatus(), protocmp.Transform()); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
	if s.AddressUsed("10.0.0.1") {
		t.Error("the orphan keeps its address")
	}
	for id, want := range map[string]clusterpb.TaskState{"t2": lifecycle.Complete, "t3": lifecycle.Assigned} {
		if got, _ := s.Task(id); got.GetStatus().GetState() != want {
			t.Errorf("%s is %v, want %v", id, got.GetStatus().GetState(), want)
		}
	}
}

func TestRemovedNodesAreForgottenOnceExpired(t *testing.T) {
	s := storetest.State(t, cluster(), node("a"), node("b"))
	soon, late := storetest.Start().Add(time.Minute), storetest.Start().Add(time.Hour)
	s = storetest.Apply(t, s, state.DeleteNode("a", timestamppb.New(soon)))
	s = storetest.ApplyAt(t, s, soon.Add(time.Second), state.DeleteNode("b", timestamppb.New(late)))
	want := []*clusterpb.RemovedNode{{Id: "b", ExpiresAt: timestamppb.New(late)}}
	if d := cmp.Diff(want, s.Cluster().GetRemovedNodes(), protocmp.Transform()); d != "" {
		t.Errorf("removed (-want +got):\n%s", d)
	}
	s = storetest.ApplyAt(t, s, s.Time, node("a"))
	if got := index(t, s, "a"); got != 3 {
		t.Errorf("came back with index %d, want 3", got)
	}
}

// TestRemovedNodesAreBounded: one that joins and leaves without end makes the
// state no larger, and the last to be removed are remembered.
func TestRemovedNodesAreBounded(t *testing.T) {
	const most = 4_000
	s, late := storetest.State(t, cluster()), timestamppb.New(storetest.Start().Add(time.Hour))
	for from := 0; from < most+10; {
		var changes []*raftpb.Change
		for range min(1000, most+10-from) {
			id := strconv.Itoa(from)
			changes = append(changes, node(id), state.DeleteNode(id, late))
			from++
		}
		s = storetest.Apply(t, s, changes...)
	}
	got := s.Cluster().GetRemovedNodes()
	if len(got) != most || got[0].GetId() != "10" || got[most-1].GetId() != strconv.Itoa(most+9) {
		t.Errorf("%d are remembered, want the last %d", len(got), most)
	}
}

func TestPutClusterSpecKeepsTheRest(t *testing.T) {
	s := storetest.State(t, cluster(), node("a"), node("b"))
	s = storetest.Apply(t, s, state.DeleteNode("a", timestamppb.New(storetest.Start().Add(time.Hour))))
	s = storetest.Apply(t, s, state.PutClusterSpec(1, &clusterpb.ClusterSpec{TaskHistoryLimit: new(int32(2))}))
	got := s.Cluster()
	if got.GetId() != "c1" || got.GetVersion() != 3 || got.GetDataPathPort() != 4789 || got.GetLastNodeIndex() != 2 ||
		len(got.GetRemovedNodes()) != 1 || string(got.GetRootCa()) != "ca" || got.GetSpec().GetTaskHistoryLimit() != 2 ||
		!got.GetCreatedAt().AsTime().Equal(storetest.Start()) || !got.GetUpdatedAt().AsTime().Equal(s.Time) {
		t.Errorf("got %v", got)
	}
}
