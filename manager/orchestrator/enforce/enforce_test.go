package enforce

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/manager/control/controltest"
	"github.com/muster/muster/manager/orchestrator/replicated"
	"github.com/muster/muster/manager/orchestrator/slot"
	"github.com/muster/muster/manager/scheduler"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

func labels(zone string) func(*clusterpb.Node) {
	return func(n *clusterpb.Node) { n.Spec.Labels = map[string]string{"zone": zone} }
}

// tell lists the tasks as SLOT@NODE, with ! when asked to stop.
func tell(w *controltest.World) string {
	var out []string
	for _, s := range slot.Group(w.State.TasksOf("web")) {
		for _, t := range slices.Backward(s.Tasks) {
			text := fmt.Sprintf("%d@%s", s.Number, t.GetNodeId())
			if t.GetDesired() >= lifecycle.Shutdown {
				text += "!"
			}
			out = append(out, text)
		}
	}
	return strings.Join(out, " ")
}

func TestConstraints(t *testing.T) {
	zoneX := &clusterpb.Placement{Constraints: []string{"node.labels.zone==x"}}
	setup := func(t *testing.T) (*controltest.World, func()) {
		t.Helper()
		w := controltest.New(t)
		w.AddNode("a", labels("x"))
		w.AddNode("b", labels("y"))
		w.Put("web", func(s *clusterpb.ServiceSpec) { s.Task.Placement = zoneX })
		settle := func() {
			t.Helper()
			w.Settle(replicated.Controller(w.ID), Controller(w.ID), scheduler.Controller())
		}
		settle()
		if got := tell(w); got != "1@a" {
			t.Fatalf("placed %s, want 1@a", got)
		}
		return w, settle
	}
	relabel := func(w *controltest.World, node, zone string) {
		w.EditNode(node, func(n *clusterpb.NodeSpec) { n.Labels = map[string]string{"zone": zone} })
	}

	t.Run("a broken label moves the task", func(t *testing.T) {
		w, settle := setup(t)
		relabel(w, "b", "x")
		relabel(w, "a", "z")
		settle()
		if got := tell(w); got != "1@a! 1@b" {
			t.Errorf("tasks %s, want it moved to b", got)
		}
	})
	t.Run("without another node it waits", func(t *testing.T) {
		w, settle := setup(t)
		relabel(w, "a", "z")
		settle()
		if got := tell(w); got != "1@a! 1@" {
			t.Errorf("tasks %s, want a waiting one", got)
		}
	})
	t.Run("a paused node keeps it", func(t *testing.T) {
		w, settle := setup(t)
		w.EditNode("a", func(n *clusterpb.NodeSpec) {
			n.Labels, n.Availability = nil, clusterpb.NodeSpec_AVAILABILITY_PAUSE
		})
		settle()
		if got := tell(w); got != "1@a" {
			t.Errorf("tasks %s, want it left alone", got)
		}
	})
	t.Run("new constraints are for the rollout", func(t *testing.T) {
		w, settle := setup(t)
		w.Put("web", func(s *clusterpb.ServiceSpec) {
			s.Task.Placement = &clusterpb.Placement{Constraints: []string{"node.labels.zone==y"}}
		})
		settle()
		if got := tell(w); got != "1@a" {
			t.Errorf("tasks %s, want it left to the updater", got)
		}
	})
	t.Run("a slot with two tasks gets no third", func(t *testing.T) {
		w, settle := setup(t)
		old := slices.Collect(w.State.TasksOf("web"))[0]
		next := proto.CloneOf(old)
		w.Now = w.Now.Add(time.Second)
		next.Id, next.NodeId, next.CreatedAt, next.SpecVersion = w.ID(), "", nil, 99
		w.Apply(state.CreateTask(next))
		relabel(w, "b", "x")
		relabel(w, "a", "z")
		settle()
		if got := tell(w); got != "1@a! 1@b" {
			t.Errorf("tasks %s, want the old one stopped only", got)
		}
	})
}

func TestResources(t *testing.T) {
	w := controltest.New(t)
	memory := func(n int64) { // what node a has
		w.Apply(state.ObserveNode(&raftpb.ObserveNode{Id: "a", Description: &clusterpb.NodeDescription{
			Resources: &clusterpb.Resources{MemoryBytes: n},
		}}))
	}
	w.AddNode("a")
	memory(30)
	w.Put("web", func(s *clusterpb.ServiceSpec) {
		s.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}}
		s.Task.Reservations = &clusterpb.Resources{MemoryBytes: 10}
	})
	controllers := func() {
		t.Helper()
		w.Settle(replicated.Controller(w.ID), Controller(w.ID), scheduler.Controller())
	}
	controllers()
	if got, want := tell(w), "1@a 2@a 3@a"; got != want {
		t.Fatalf("placed %s, want %s", got, want)
	}
	memory(20)
	w.AddNode("b")
	controllers()
	if got, want := strings.Count(tell(w), "!"), 1; got != want {
		t.Errorf("tasks %s, want one stopped", tell(w))
	}
	if !strings.Contains(tell(w), "@b") {
		t.Errorf("tasks %s, want one on b", tell(w))
	}
}
