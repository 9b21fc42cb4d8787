package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// stepWorld has nodes n1 to n3, of which n3 has no tasks, and
// service web with task a on n1 and b on n2, both running.
func stepWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, slices.Concat(addNode("n1"), addNode("n2"), addNode("n3"), []*raftpb.Change{
		addService("web", 80), addTask("a", "web", 80), addTask("b", "web", 80),
		state.AssignTask("a", "n1", storetest.Attached("10.0.0.1")), state.AssignTask("b", "n2", storetest.Attached("10.0.0.2")),
		taskIs("a", lifecycle.Running), taskIs("b", lifecycle.Running),
	})...)
	return w
}

// TestStep says whom a change concerns: the nodes that have to look at their
// own tasks, "all" when every node has to look, and -NODE for one that may not
// keep its session.
func TestStep(t *testing.T) {
	images := func(id string) *raftpb.Change {
		return state.ObserveNode(&raftpb.ObserveNode{Id: id, Images: &raftpb.NodeImages{Images: []*clusterpb.NodeImage{{Name: "x", Digest: digest1}}}})
	}
	elsewhere := func(id string) *raftpb.Change {
		return state.ObserveNode(&raftpb.ObserveNode{Id: id, Description: &clusterpb.NodeDescription{
			Hostname: id, DataAddr: "192.0.2.9", ControlAddr: id + ":2377",
		}})
	}
	w := stepWorld(t)
	cluster := func(edit func(*clusterpb.ClusterSpec)) *raftpb.Change {
		next := proto.CloneOf(w.st.Cluster().GetSpec())
		edit(next)
		return state.PutClusterSpec(w.st.Cluster().GetVersion(), next)
	}
	web, _ := w.st.Service("web")
	tests := map[string]struct {
		change *raftpb.Change
		want   string
	}{
		"a report that changes no mesh": {state.ObserveTask("a", &clusterpb.TaskStatus{State: lifecycle.Running, Message: "hm"}), "n1"},
		"a task that ended":             {taskIs("a", lifecycle.Failed), "n1 all"},
		"a task to stop":                {state.SetDesired("b", lifecycle.Shutdown, ""), "n2 all"},
		"a task nobody has":             {addTask("c", "web", 80), ""},
		"another service":               {addService("db", 81), "all"},
		"the same service":              {edited(web, func(*clusterpb.ServiceSpec) {}), ""},
		"a node's images":               {images("n3"), "n3 all"},
		"a node's address":              {elsewhere("n3"), "n3 all"},
		"a node that is as it was":      {nodeIs("n3", clusterpb.NodeStatus_STATE_READY), ""},
		"a node that is away":           {nodeIs("n3", clusterpb.NodeStatus_STATE_DISCONNECTED), "n3 all"},
		"a node that is down":           {nodeIs("n2", clusterpb.NodeStatus_STATE_DOWN), "n2 all -n2"},
		"a node that is gone":           {state.DeleteNode("n3", nil), "n3 all -n3"},
		"gossip keys":                   {state.RotateGossipKeys(w.st.Secrets().GetVersion(), [][]byte{{1}}), "all"},
		"a cluster that is as it was":   {cluster(func(*clusterpb.ClusterSpec) {}), ""},
		"another heartbeat period":      {cluster(func(c *clusterpb.ClusterSpec) { c.HeartbeatPeriod = durationpb.New(time.Minute) }), "all"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := stepWorld(t)
			before := w.plan
			w.apply(tt.change)
			got := slices.Sorted(maps.Keys(w.step.Nodes))
			if w.step.All {
				got = append(got, "all")
			}
			for _, id := range w.step.Lost {
				got = append(got, "-"+id)
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("concerns %q, want %q", g, tt.want)
			}
			if w.plan.Index() != w.st.Index || before.Index() >= w.plan.Index() {
				t.Errorf("plan of index %d after %d, want %d", w.plan.Index(), before.Index(), w.st.Index)
			}
		})
	}
}

// TestRefresh: for a node whose own tasks did not change, a refreshed set says
// what a new one does.
func TestRefresh(t *testing.T) {
	w := stepWorld(t)
	base := w.plan.Set("n3")
	w.apply(taskIs("a", lifecycle.Failed), addService("db", 81))
	refreshed, _ := w.plan.Refresh(base).Since(base)
	fresh, _ := w.plan.Set("n3").Since(base)
	if !proto.Equal(refreshed, fresh) || len(fresh.GetPorts()) != 2 {
		t.Errorf("refreshed:\n%v\nmade anew:\n%v\nwant the same, with two ports", refreshed, fresh)
	}
}

// TestAt: a node that was sent nothing for some changes gets a difference to
// what it was sent last.
func TestAt(t *testing.T) {
	w := stepWorld(t)
	base := w.plan.Set("n1")
	w.apply(addTask("c", "web", 80))
	quiet := w.plan.Set("n1")
	if _, changed := quiet.Since(base); changed {
		t.Fatal("a task nobody has is news to n1")
	}
	held := quiet.At(base.Index())
	if held.Index() != base.Index() || quiet.Index() == base.Index() || held.At(base.Index()) != held {
		t.Errorf("held at %d, want %d", held.Index(), base.Index())
	}
	w.apply(state.SetDesired("a", lifecycle.Shutdown, ""))
	if a, _ := w.plan.Set("n1").Since(held); a.GetBase() != base.Index() || a.GetIndex() != w.st.Index {
		t.Errorf("a difference from %d to %d, want from %d to %d", a.GetBase(), a.GetIndex(), base.Index(), w.st.Index)
	}
}

// TestLeaving: tasks that should stop and have not wait for the low-water mark.
func TestLeaving(t *testing.T) {
	w := stepWorld(t)
	if got := w.plan.Set("n1").Leaving(); got != nil {
		t.Errorf("%v leave, want none", got)
	}
	w.apply(state.SetDesired("a", lifecycle.Shutdown, ""))
	if got := w.plan.Set("n1").Leaving(); !slices.Equal(got, []uint64{w.st.Index}) {
		t.Errorf("%v leave, want the index %d at which a was told to", got, w.st.Index)
	}
	w.apply(taskIs("a", lifecycle.Shutdown))
	if got := w.plan.Set("n1").Leaving(); got != nil {
		t.Errorf("%v leave after the task ended", got)
	}
}

// TestOwnSettings: what all share, and who the node is.
func TestOwnSettings(t *testing.T) {
	w := stepWorld(t)
	n4 := &raftpb.PutNode{Id: "n4", Spec: &clusterpb.NodeSpec{}, Role: clusterpb.NodeRole_NODE_ROLE_MANAGER}
	w.apply(state.PutNode(n4), nodeIs("n4", clusterpb.NodeStatus_STATE_READY))
	seen := make(map[uint32]bool)
	for _, id := range []string{"n1", "n2", "n4"} {
		s := w.plan.Set(id).Full().GetSettings()
		if s.GetSelfIndex() == 0 || seen[s.GetSelfIndex()] || fmt.Sprint(s.GetManagers()) != "[n4:2377]" {
			t.Errorf("%s has index %d and managers %v", id, s.GetSelfIndex(), s.GetManagers())
		}
		seen[s.GetSelfIndex()] = true
	}
	if s := w.plan.Set("nobody").Full().GetSettings(); s.GetSelfIndex() != 0 || s.GetClusterId() != "c" {
		t.Errorf("a node that is not known has settings %v", s)
	}
}
