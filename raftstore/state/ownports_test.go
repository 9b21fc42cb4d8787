package state_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// TestOwnPorts: nobody takes the ports that the cluster itself is reached by,
// whichever they are.
func TestOwnPorts(t *testing.T) {
	nodes := []*raftpb.Change{
		state.CreateCluster(&raftpb.CreateCluster{Id: "c", DataPathPort: 30000}),
		state.PutNode(&raftpb.PutNode{Id: "n1", Spec: &clusterpb.NodeSpec{}, Role: clusterpb.NodeRole_NODE_ROLE_MANAGER}),
		state.ObserveNode(&raftpb.ObserveNode{Id: "n1", RaftAddr: "192.0.2.1:2377", Description: &clusterpb.NodeDescription{
			Hostname: "alpha", ControlAddr: "192.0.2.1:2377", GossipAddr: "192.0.2.1:7946",
		}}),
		state.PutNode(&raftpb.PutNode{Id: "n2", Spec: &clusterpb.NodeSpec{}, Role: clusterpb.NodeRole_NODE_ROLE_WORKER}),
		state.ObserveNode(&raftpb.ObserveNode{Id: "n2", Description: &clusterpb.NodeDescription{
			Hostname: "beta", ControlAddr: "[2001:db8::2]:3000", GossipAddr: "no address",
		}}),
	}
	for name, tt := range map[string]struct {
		ports []*clusterpb.Port
		want  string
	}{
		"control":                 {[]*clusterpb.Port{ingress(2377)}, "port 2377/tcp cannot be published: node alpha listens on it for the cluster"},
		"on hosts too":            {[]*clusterpb.Port{host(2377)}, "port 2377/tcp cannot be published: node alpha"},
		"of another node":         {[]*clusterpb.Port{ingress(80), ingress(3000)}, "port 3000/tcp cannot be published: node beta"},
		"gossip":                  {[]*clusterpb.Port{ingress(7946)}, "port 7946/tcp cannot be published: node alpha"},
		"gossip over udp":         {[]*clusterpb.Port{udp(ingress(7946))}, "port 7946/udp cannot be published: node alpha"},
		"the tunnel":              {[]*clusterpb.Port{udp(ingress(30000))}, "port 30000/udp cannot be published: the traffic between nodes uses it"},
		"their numbers elsewhere": {[]*clusterpb.Port{udp(ingress(2377)), ingress(30000)}, ""},
		"an automatic one":        {[]*clusterpb.Port{udp(ingress(0))}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.State(t, nodes...)
			next, err := storetest.TryAt(s, storetest.Start(), service("s1", "web", tt.ports...))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range get(t, next).GetPorts() {
					if p.GetProtocol() == clusterpb.Port_PROTOCOL_UDP && p.GetPublished() == 30000 {
						t.Error("the port of the tunnel was chosen")
					}
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestNodeComesToAPublishedPort: it is left out there, and that keeps nobody from
// changing the service, which holds on to its ports. Nobody else gets them.
func TestNodeComesToAPublishedPort(t *testing.T) {
	before := storetest.State(t, cluster(), service("s1", "web", ingress(9000), udp(ingress(9001)), host(9002), target(81, ingress(0))))
	comes := func(id string, control, gossip uint32) []*raftpb.Change {
		return []*raftpb.Change{node(id), state.ObserveNode(&raftpb.ObserveNode{Id: id, Description: &clusterpb.NodeDescription{
			Hostname: id, ControlAddr: fmt.Sprintf("192.0.2.1:%d", control), GossipAddr: fmt.Sprintf("192.0.2.1:%d", gossip),
		}})}
	}
	s := storetest.Apply(t, before, slices.Concat(comes("n1", 9000, 9001), comes("n2", 30000, 9002))...)
	for what, change := range map[string]func(*clusterpb.Service){"scale": setReplicas(7), "update": setImage("nginx:2")} {
		next := edit(t, s, change)
		if got, want := get(t, next).GetPorts(), get(t, before).GetPorts(); !cmp.Equal(got, want, protocmp.Transform()) {
			t.Errorf("%s: published %v, want %v as before", what, got, want)
		}
	}
	for name, tt := range map[string]struct {
		change *raftpb.Change
		want   string
	}{
		"another service":   {service("s2", "db", ingress(30000)), "port 30000/tcp cannot be published: node n2"},
		"on a host":         {service("s2", "db", host(9000)), "port 9000/tcp cannot be published: node n1"},
		"from hosts to all": {serviceAt("s1", "web", get(t, s).GetVersion(), ingress(9002)), "port 9002/tcp cannot be published: node n2"},
		"another protocol":  {serviceAt("s1", "web", get(t, s).GetVersion(), udp(ingress(9002))), "port 9002/udp cannot be published: node n2"},
	} {
		if _, err := storetest.TryAt(s, s.Time, tt.change); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if n, _ := s.Node("n1"); !slices.Equal(s.Contested(n), []port.Key{port.TCP(9000), port.UDP(9001)}) {
		t.Errorf("contested are %v", s.Contested(n))
	}
}
