package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/port"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// TestMeshPorts says which ports and endpoints the mesh has of service web and
// its task a, which runs on n1.
func TestMeshPorts(t *testing.T) {
	tcp := &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: 80, Target: 8080}
	udp := &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_UDP, Published: 80, Target: 53}
	host := &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: 90, Target: 90, Mode: clusterpb.Port_MODE_HOST}
	open := &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 8080}
	unnamed := &clusterpb.Port{Published: 80, Target: 8080}
	node := func(s clusterpb.NodeStatus_State) *raftpb.Change { return nodeIs("n1", s) }
	sick := &clusterpb.HealthStatus{State: clusterpb.HealthStatus_STATE_UNHEALTHY}
	tests := map[string]struct {
		declared, own []*clusterpb.Port // of the service and of the task
		addrs         []string
		then          []*raftpb.Change
		want          string
	}{
		"tcp":                       {[]*clusterpb.Port{tcp}, []*clusterpb.Port{tcp}, []string{"10.0.0.1"}, nil, "80/tcp=8080"},
		"no protocol is tcp":        {[]*clusterpb.Port{unnamed}, []*clusterpb.Port{unnamed}, []string{"10.0.0.1"}, nil, "80/tcp=8080"},
		"tcp and udp of one number": {[]*clusterpb.Port{udp, tcp}, []*clusterpb.Port{tcp, udp}, []string{"10.0.0.1"}, nil, "80/tcp=8080 80/udp=53"},
		"host ports are the node's": {[]*clusterpb.Port{host}, []*clusterpb.Port{host}, []string{"10.0.0.1"}, nil, ""},
		"no number yet":             {nil, []*clusterpb.Port{open}, []string{"10.0.0.1"}, nil, ""},
		"of an earlier version":     {nil, []*clusterpb.Port{tcp}, []string{"10.0.0.1"}, nil, "80/tcp=8080"},
		"of a later version":        {[]*clusterpb.Port{tcp}, nil, []string{"10.0.0.1"}, nil, "80/tcp="},
		"a task without an address": {[]*clusterpb.Port{tcp}, []*clusterpb.Port{tcp}, nil, nil, "80/tcp="},
		"on a node that is away":    {[]*clusterpb.Port{tcp}, []*clusterpb.Port{tcp}, []string{"10.0.0.1"}, []*raftpb.Change{node(clusterpb.NodeStatus_STATE_DISCONNECTED)}, "80/tcp=8080"},
		"on a node that is down":    {[]*clusterpb.Port{tcp}, []*clusterpb.Port{tcp}, []string{"10.0.0.1"}, []*raftpb.Change{node(clusterpb.NodeStatus_STATE_DOWN)}, "80/tcp="},
		"unhealthy":                 {[]*clusterpb.Port{tcp}, []*clusterpb.Port{tcp}, []string{"10.0.0.1"}, []*raftpb.Change{state.ObserveTask("a", &clusterpb.TaskStatus{State: lifecycle.Running, Health: sick})}, "80/tcp="},
		"ended":                     {[]*clusterpb.Port{tcp}, []*clusterpb.Port{tcp}, []string{"10.0.0.1"}, []*raftpb.Change{taskIs("a", lifecycle.Failed)}, "80/tcp="},
		"to stop":                   {[]*clusterpb.Port{tcp}, []*clusterpb.Port{tcp}, []string{"10.0.0.1"}, []*raftpb.Change{state.SetDesired("a", lifecycle.Shutdown, "")}, "80/tcp="},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, slices.Concat(addNode("n1"), []*raftpb.Change{
				state.PutService(&raftpb.PutService{Id: "web", Spec: &clusterpb.ServiceSpec{Name: "web", Task: &clusterpb.TaskSpec{}, Ports: tt.declared}, Ports: tt.declared}),
				state.CreateTask(&clusterpb.Task{Id: "a", ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{}, Ports: tt.own}),
				state.AssignTask("a", "n1", storetest.Attached(tt.addrs...)), taskIs("a", lifecycle.Running),
			}, tt.then)...)
			var got []string
			for _, p := range w.plan.Set("n2").Full().GetPorts() {
				var targets []string
				for _, e := range p.GetEndpoints() {
					targets = append(targets, fmt.Sprint(e.GetTarget()))
				}
				got = append(got, port.Of(p).String()+"="+strings.Join(targets, "+"))
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("ports %q, want %q", g, tt.want)
			}
		})
	}
}
