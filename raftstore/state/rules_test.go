package state_test

import (
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// Constructors that keep the tables of these tests readable.

func cluster() *raftpb.Change {
	return state.CreateCluster(&raftpb.CreateCluster{
		Id: "c1", DataPathPort: 4789, RootCa: []byte("ca"), RootCaKey: []byte("key"),
		WorkerSecret: "w", ManagerSecret: "m", GossipKeys: [][]byte{{1}},
	})
}

func network(id, name string, subnets ...string) *raftpb.Change {
	return state.CreateNetwork(&raftpb.CreateNetwork{Id: id, Spec: &clusterpb.NetworkSpec{Name: name}, Subnets: subnets})
}

func node(id string) *raftpb.Change {
	return state.PutNode(&raftpb.PutNode{Id: id, Role: clusterpb.NodeRole_NODE_ROLE_WORKER})
}

func service(id, name string, ports ...*clusterpb.Port) *raftpb.Change {
	return serviceAt(id, name, 0, ports...)
}

func serviceAt(id, name string, version uint64, ports ...*clusterpb.Port) *raftpb.Change {
	return state.PutService(&raftpb.PutService{Id: id, Version: version, Spec: &clusterpb.ServiceSpec{
		Name:  name,
		Task:  &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "nginx"}}},
		Ports: ports,
	}})
}

func ingress(published uint32) *clusterpb.Port {
	return &clusterpb.Port{Target: 80, Published: published, Mode: clusterpb.Port_MODE_INGRESS}
}

func host(published uint32) *clusterpb.Port {
	return &clusterpb.Port{Target: 80, Published: published, Mode: clusterpb.Port_MODE_HOST}
}

func udp(p *clusterpb.Port) *clusterpb.Port {
	p.Protocol = clusterpb.Port_PROTOCOL_UDP
	return p
}

func target(n uint32, p *clusterpb.Port) *clusterpb.Port {
	p.Target = n
	return p
}

func task(id, serviceID string) *raftpb.Change {
	return state.CreateTask(&clusterpb.Task{Id: id, ServiceId: serviceID, Slot: 1, Desired: lifecycle.Running})
}

func observe(id string, to clusterpb.TaskState) *raftpb.Change {
	return state.ObserveTask(id, &clusterpb.TaskStatus{State: to})
}

func changes(c ...*raftpb.Change) []*raftpb.Change { return c }

// TestRefusals holds what the rules refuse, by kind and by what users read.
func TestRefusals(t *testing.T) {
	expiry := timestamppb.New(storetest.Start().Add(time.Hour))
	tests := map[string]struct {
		before []*raftpb.Change
		change *raftpb.Change
		is     func(error) bool
		text   string
	}{
		"cluster made twice": {
			changes(cluster()), cluster(),
			errdefs.IsAlreadyExists, "the cluster exists already",
		},
		"cluster changed meanwhile": {
			changes(cluster()), state.PutClusterSpec(7, &clusterpb.ClusterSpec{}),
			errdefs.IsConflict, "the cluster was changed meanwhile: its version is 1, not 7",
		},
		"cluster changed before it was made": {
			nil, state.PutClusterSpec(0, &clusterpb.ClusterSpec{}),
			errdefs.IsNotFound, "there is no cluster yet",
		},
		"join secret rotated before it was made": {
			nil, state.RotateJoinSecret(clusterpb.NodeRole_NODE_ROLE_WORKER, "w"),
			errdefs.IsNotFound, "there is no cluster yet",
		},
		"join secret of no role": {
			changes(cluster()), state.RotateJoinSecret(clusterpb.NodeRole_NODE_ROLE_UNSPECIFIED, "w"),
			errdefs.IsInvalidArgument, "role NODE_ROLE_UNSPECIFIED: use worker or manager",
		},
		"gossip keys rotated before they were made": {
			nil, state.RotateGossipKeys(0, [][]byte{{1}}),
			errdefs.IsNotFound, "there is no cluster yet",
		},
		"gossip keys rotated meanwhile": {
			changes(cluster()), state.RotateGossipKeys(7, [][]byte{{1}}),
			errdefs.IsConflict, "the set of secrets was changed meanwhile: its version is 1, not 7",
		},
		"network without a name": {
			nil, network("x1", ""),
			errdefs.IsInvalidArgument, "a network needs an id and a name",
		},
		"network without an id": {
			nil, network("", "front"),
			errdefs.IsInvalidArgument, "a network needs an id and a name",
		},
		"network made twice": {
			changes(network("x1", "front")), network("x1", "back"),
			errdefs.IsAlreadyExists, "network back exists already",
		},
		"network's name taken": {
			changes(network("x1", "front")), network("x2", "front"),
			errdefs.IsAlreadyExists, `a network named "front" exists already`,
		},
		"network's subnet taken": {
			changes(network("x1", "front", "10.0.0.0/16", "fd00::/64")), network("x2", "back", "10.1.0.0/16", "fd00::/32"),
			errdefs.IsConflict, "network back: fd00::/32 overlaps network front",
		},
		"network's subnets overlap": {
			nil, network("x1", "front", "10.0.0.0/16", "10.0.1.0/24"),
			errdefs.IsInvalidArgument, "network front: its subnets 10.0.0.0/16 and 10.0.1.0/24 overlap",
		},
		"network's subnet is none": {
			nil, network("x1", "front", "10.0.0.1/16"),
			errdefs.IsInvalidArgument, `network front: "10.0.0.1/16" is not a prefix such as 10.0.0.0/16`,
		},
		"service without a name": {
			nil, service("s1", ""),
			errdefs.IsInvalidArgument, "a service needs an id and a name",
		},
		"name taken": {
			changes(service("s1", "web")), service("s2", "web"),
			errdefs.IsAlreadyExists, `a service named "web" exists already`,
		},
		"name taken but for its capitals": {
			changes(service("s1", "Web")), service("s2", "weB"),
			errdefs.IsAlreadyExists, `a service named "Web" exists already, which is the same as "weB" in DNS`,
		},
		"renamed to a name that is taken": {
			changes(service("s1", "web"), service("s2", "db")), serviceAt("s2", "web", 1),
			errdefs.IsAlreadyExists, `a service named "web" exists already`,
		},
		"service made twice": {
			changes(service("s1", "web")), service("s1", "web2"),
			errdefs.IsAlreadyExists, "service web2 exists already",
		},
		"service changed meanwhile": {
			changes(service("s1", "web")), serviceAt("s1", "web", 9),
			errdefs.IsConflict, "service web was changed meanwhile: its version is 1, not 9",
		},
		"service gone": {
			nil, serviceAt("s1", "web", 9),
			errdefs.IsNotFound, "service web is gone",
		},
		"service removed twice": {
			nil, state.DeleteService("s1"),
			errdefs.IsNotFound, "service s1 is gone",
		},
		"port taken": {
			changes(service("s1", "web", ingress(8111))), service("s2", "db", ingress(8111)),
			errdefs.IsAlreadyExists, "port 8111/tcp is published by service web",
		},
		"udp port taken": {
			changes(service("s1", "web", udp(ingress(53)))), service("s2", "dns", udp(ingress(53))),
			errdefs.IsAlreadyExists, "port 53/udp is published by service web",
		},
		"port on some nodes wanted on every node": {
			changes(service("s1", "web", host(8111))), service("s2", "db", ingress(8111)),
			errdefs.IsAlreadyExists, "port 8111/tcp is published by service web",
		},
		"port on every node wanted on some": {
			changes(service("s1", "web", ingress(8111))), service("s2", "db", host(8111)),
			errdefs.IsAlreadyExists, "port 8111/tcp is published by service web",
		},
		"port published twice": {
			nil, service("s1", "web", ingress(8111), target(81, ingress(8111))),
			errdefs.IsInvalidArgument, "port 8111/tcp is published twice",
		},
		"port out of range": {
			nil, service("s1", "web", ingress(65536)),
			errdefs.IsInvalidArgument, "port 65536 cannot be published: ports end at 65535",
		},
		"task without an id": {
			nil, task("", "s1"),
			errdefs.IsInvalidArgument, "a task needs an id",
		},
		"address in use": {
			changes(storetest.Ingress(), node("n1"), task("t1", "s1"), task("t2", "s1"), state.AssignTask("t1", "n1", storetest.Attached("10.0.0.2"))),
			state.AssignTask("t2", "n1", storetest.Attached("10.0.0.2")),
			errdefs.IsConflict, "address 10.0.0.2 is in use by task t1",
		},
		"address in use, in another form": {
			changes(storetest.Ingress(), node("n1"), task("t1", "s1"), task("t2", "s1"), state.AssignTask("t1", "n1", storetest.Attached("fd00::2"))),
			state.AssignTask("t2", "n1", storetest.Attached("fd00:0::0:2")),
			errdefs.IsConflict, "address fd00::2 is in use by task t1",
		},
		"address that is none": {
			changes(storetest.Ingress(), node("n1"), task("t1", "s1")), state.AssignTask("t1", "n1", storetest.Attached("10.0.0.2/24")),
			errdefs.IsInvalidArgument, `task t1: "10.0.0.2/24" is not an IP address`,
		},
		"address in use, in another network": {
			changes(storetest.Ingress(), network("x1", "front"), node("n1"), task("t1", "s1"), task("t2", "s1"),
				state.AssignTask("t1", "n1", storetest.Attached("10.0.0.2"))),
			state.AssignTask("t2", "n1", []*clusterpb.Attachment{{NetworkId: "x1", Addresses: []string{"10.0.0.2"}}}),
			errdefs.IsConflict, "address 10.0.0.2 is in use by task t1",
		},
		"address given twice": {
			changes(storetest.Ingress(), network("x1", "front"), node("n1"), task("t1", "s1")),
			state.AssignTask("t1", "n1", append(storetest.Attached("10.0.0.2"), &clusterpb.Attachment{NetworkId: "x1", Addresses: []string{"10.0.0.2"}})),
			errdefs.IsInvalidArgument, "task t1: address 10.0.0.2 is given twice",
		},
		"network that is gone": {
			changes(node("n1"), task("t1", "s1")), state.AssignTask("t1", "n1", storetest.Attached("10.0.0.2")),
			errdefs.IsConflict, "network ingress of task t1 is gone",
		},
		"node without an id": {
			nil, node(""),
			errdefs.IsInvalidArgument, "a node needs an id",
		},
		"node made twice": {
			changes(node("n1")), node("n1"),
			errdefs.IsAlreadyExists, "node n1 exists already",
		},
		"node gone": {
			nil, state.DeleteNode("n1", expiry),
			errdefs.IsNotFound, "node n1 is gone",
		},
		"removed node comes back": {
			changes(cluster(), node("n1"), state.DeleteNode("n1", expiry)), node("n1"),
			errdefs.IsFailedPrecondition, "node n1 was removed from the cluster: it can only join anew",
		},
		"progress of a rollout made from an older one": {
			changes(service("s1", "web")),
			state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 1}, &clusterpb.UpdateStatus{Version: 5}),
			errdefs.IsConflict, "the rollout of service web moved on meanwhile",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := state.NewState()
			if len(tt.before) > 0 {
				s = storetest.Apply(t, s, tt.before...)
			}
			// All or nothing: what comes before in the command must not stay.
			next, err := storetest.TryAt(s, storetest.Start(), node("before"), tt.change)
			if !tt.is(err) || err.Error() != tt.text {
				t.Errorf("got %q (%v)\nwant %q", err, errdefs.Resolve(err), tt.text)
			}
			if _, ok := next.Node("before"); ok {
				t.Error("a part of the refused command was applied")
			}
			if next.Index != s.Index+1 {
				t.Errorf("index %d after a refusal at %d", next.Index, s.Index+1)
			}
		})
	}
}

// TestOvertaken holds the statements that are skipped: nothing may change and
// nobody may be woken.
func TestOvertaken(t *testing.T) {
	running := changes(node("n1"), task("t1", "s1"), state.AssignTask("t1", "n1", nil), observe("t1", lifecycle.Running))
	tests := map[string]struct {
		before []*raftpb.Change
		change *raftpb.Change
	}{
		"task exists":                   {running, task("t1", "s1")},
		"assign a task that is gone":    {changes(node("n1")), state.AssignTask("t1", "n1", nil)},
		"assign twice":                  {running, state.AssignTask("t1", "n1", nil)},
		"assign to a node that is gone": {changes(task("t1", "s1")), state.AssignTask("t1", "n1", nil)},
		"assign what is not wanted": {
			changes(node("n1"), task("t1", "s1"), state.SetDesired("t1", lifecycle.Shutdown, "")),
			state.AssignTask("t1", "n1", nil),
		},
		"desired as high already":        {running, state.SetDesired("t1", lifecycle.Running, "")},
		"desired lower":                  {running, state.SetDesired("t1", lifecycle.Ready, "")},
		"desired of a task that is gone": {nil, state.SetDesired("t1", lifecycle.Ready, "")},
		"observed before":                {running, observe("t1", lifecycle.Starting)},
		"observed as known":              {running, observe("t1", lifecycle.Running)},
		"observed after the end":         {append(running, observe("t1", lifecycle.Failed)), observe("t1", lifecycle.Orphaned)},
		"observed no state":              {running, observe("t1", 0)},
		"observed a task that is gone":   {nil, observe("t1", lifecycle.Running)},
		"task is gone":                   {nil, state.DeleteTask("t1")},
		"rollout of a service that is gone": {
			nil, state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 1}, &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_PAUSED}),
		},
		"rollout of another spec": {
			changes(service("s1", "web")), state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 9}, &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_PAUSED}),
		},
		"observed a node that is gone": {nil, state.ObserveNode(&raftpb.ObserveNode{Id: "n1", RaftAddr: "x"})},
		"observed nothing new of a node": {
			changes(state.PutNode(&raftpb.PutNode{Id: "n1", RaftAddr: "x"})),
			state.ObserveNode(&raftpb.ObserveNode{Id: "n1", RaftAddr: "x"}),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := state.NewState()
			if len(tt.before) > 0 {
				s = storetest.Apply(t, s, tt.before...)
			}
			next, out := s.Apply(s.Index+1, &raftpb.Command{
				ProposedAt: timestamppb.New(s.Time.Add(time.Second)),
				Changes:    changes(tt.change),
			})
			if out.Err != nil || len(out.Touched) != 0 {
				t.Errorf("err %v, touched %v", out.Err, out.Touched)
			}
			if a, b := storetest.Content(t, s), storetest.Content(t, next); a != b {
				t.Errorf("state changed from\n%s\nto\n%s", a, b)
			}
		})
	}
}
