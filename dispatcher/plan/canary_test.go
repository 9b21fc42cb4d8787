package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/port"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// TestCanaries: some of the replicas share the traffic; all of them get none
// before they are promoted, and then all of it in one step.
func TestCanaries(t *testing.T) {
	promotion := func(svc *clusterpb.Service) *raftpb.Change {
		u := proto.CloneOf(svc.GetUpdate())
		u.Promoted = true
		return state.SetUpdateStatus(svc, u)
	}
	back := func(svc *clusterpb.Service) *raftpb.Change {
		u := &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED}
		return state.RollBack("web", svc.GetSpecVersion(), u, svc.GetHistory()[0])
	}
	scaled := func(svc *clusterpb.Service) *raftpb.Change {
		return edited(svc, func(s *clusterpb.ServiceSpec) {
			s.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 9}}
		})
	}
	overtaken := func(svc *clusterpb.Service) *raftpb.Change {
		return edited(svc, func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "web:3" })
	}
	tests := map[string]struct {
		canaries uint32 // of two replicas
		then     func(*clusterpb.Service) *raftpb.Change
		want     string // tasks of the mesh
	}{
		"one":             {1, nil, "new1 old1 old2"},
		"one, promoted":   {1, promotion, "new1 old2"},
		"one, taken back": {1, back, "old1 old2"},
		"one, overtaken":  {1, overtaken, "old1 old2"},
		"all":             {2, nil, "old1 old2"},
		"all, promoted":   {2, promotion, "new1 new2"},
		"all, taken back": {2, back, "old1 old2"},
		"all, overtaken":  {2, overtaken, "old1 old2"},
		"all, scaled":     {2, scaled, "old1 old2"},
		"more than all":   {5, nil, "old1 old2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := canaryWorld(t, tt.canaries)
			if tt.then != nil {
				svc, _ := w.st.Service("web")
				w.apply(tt.then(svc))
			}
			var got []string
			for _, e := range w.plan.mesh.ports[port.Key{Protocol: clusterpb.Port_PROTOCOL_TCP, Number: 80}].GetEndpoints() {
				got = append(got, e.GetTaskId())
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("the mesh leads to %q, want %q", got, tt.want)
			}
		})
	}
}

// canaryWorld has a service of two replicas whose rollout is at its canaries.
func canaryWorld(t *testing.T, canaries uint32) *world {
	t.Helper()
	w := newWorld(t, slices.Concat(addNode("n1"), []*raftpb.Change{addService("web", 80)})...)
	run := func(name string, slot uint32) {
		svc, _ := w.st.Service("web")
		id := fmt.Sprint(name, slot)
		w.apply(state.CreateTask(&clusterpb.Task{
			Id: id, ServiceId: "web", Slot: slot, Canary: name == "new", Desired: lifecycle.Running,
			Spec: svc.GetSpec().GetTask(), SpecVersion: svc.GetSpecVersion(), Ports: svc.GetPorts(),
		}))
		w.apply(state.AssignTask(id, "n1", storetest.Attached(fmt.Sprint("10.0.0.", w.st.Index))), taskIs(id, lifecycle.Running))
	}
	run("old", 1)
	run("old", 2)
	svc, _ := w.st.Service("web")
	w.apply(edited(svc, func(s *clusterpb.ServiceSpec) {
		pod.Main(s.Task).Image, s.Update = "web:2", &clusterpb.UpdateConfig{Canary: canaries}
	}))
	w.apply(state.SetUpdateStatus(&clusterpb.Service{Id: "web", SpecVersion: w.st.Index}, &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_UPDATING, Slots: 2}))
	for i := range min(canaries, 2) {
		run("new", i+1)
	}
	return w
}

// edited puts another spec.
func edited(svc *clusterpb.Service, edit func(*clusterpb.ServiceSpec)) *raftpb.Change {
	svc = proto.CloneOf(svc)
	edit(svc.GetSpec())
	return storetest.PutService(svc)
}
