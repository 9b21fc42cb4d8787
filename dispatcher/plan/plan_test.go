package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
	"github.com/muster/muster/proto/port"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// world is a state and the plan that follows it, change by change.
type world struct {
	t    testing.TB
	st   *state.State
	plan *Plan
	step Step             // the last change
	held map[string]*node // what nodes were sent
}

// node applies assignments in the simplest way that could be right.
type node struct {
	base  *Set
	tasks map[string]*clusterpb.Task
	peers map[string]*dispatchpb.Peer
	ports map[port.Key]*dispatchpb.MeshPort
	last  *dispatchpb.Assignments
}

func newWorld(t testing.TB, changes ...*raftpb.Change) *world {
	t.Helper()
	w := &world{t: t, st: state.NewState(), held: map[string]*node{}}
	w.apply(state.CreateCluster(&raftpb.CreateCluster{Id: "c", Spec: &clusterpb.ClusterSpec{}, DataPathPort: 4789}), storetest.Ingress("10.0.0.0/16"))
	w.apply(changes...)
	w.plan = First(w.st, w.st.Index)
	return w
}

// try folds changes in and reports whether they were accepted.
func (w *world) try(changes ...*raftpb.Change) bool {
	cmd := proto.CloneOf(&raftpb.Command{ProposedAt: timestamppb.New(time.Unix(1000, 0)), Changes: changes})
	next, out := w.st.Apply(w.st.Index+1, cmd)
	if out.Err != nil {
		return false
	}
	w.st = next
	if w.plan != nil {
		refs := map[state.Ref]struct{}{}
		for _, r := range out.Touched {
			refs[r] = struct{}{}
		}
		w.step = w.plan.Next(next, next.Index, refs)
		w.plan = w.step.Plan
	}
	return true
}

func (w *world) apply(changes ...*raftpb.Change) {
	w.t.Helper()
	if !w.try(changes...) {
		w.t.Fatalf("refused: %v", changes)
	}
}

// send brings a node up to date and returns what it was sent, nil for nothing.
func (w *world) send(id string) *dispatchpb.Assignments {
	next := w.plan.Set(id)
	n := w.held[id]
	if n == nil {
		n = &node{}
		w.held[id] = n
		n.take(next.Full())
	} else {
		a, changed := next.Since(n.base)
		if !changed {
			n.base = next.At(n.base.index)
			n.last = nil
			return nil
		}
		n.take(a)
	}
	n.base = next
	return n.last
}

func (n *node) take(a *dispatchpb.Assignments) {
	n.last = a
	if a.GetFull() {
		n.tasks, n.peers, n.ports = map[string]*clusterpb.Task{}, map[string]*dispatchpb.Peer{}, map[port.Key]*dispatchpb.MeshPort{}
	}
	for _, t := range a.GetTasks() {
		n.tasks[t.GetTask().GetId()] = t.GetTask()
	}
	for _, id := range a.GetGoneTasks() {
		delete(n.tasks, id)
	}
	for _, p := range a.GetPeers() {
		n.peers[p.GetId()] = p
	}
	for _, id := range a.GetGonePeers() {
		delete(n.peers, id)
	}
	for _, p := range a.GetPorts() {
		n.ports[port.Of(p)] = p
	}
	for _, p := range a.GetGonePorts() {
		delete(n.ports, port.Of(p))
	}
}

func addNetwork(id string, subnets ...string) *raftpb.Change {
	return state.CreateNetwork(&raftpb.CreateNetwork{Id: id, Spec: &clusterpb.NetworkSpec{Name: id}, Subnets: subnets})
}

func addNode(id string) []*raftpb.Change {
	return []*raftpb.Change{
		state.PutNode(&raftpb.PutNode{Id: id, Spec: &clusterpb.NodeSpec{}, Role: clusterpb.NodeRole_NODE_ROLE_WORKER}),
		nodeIs(id, clusterpb.NodeStatus_STATE_READY),
	}
}

func nodeIs(id string, s clusterpb.NodeStatus_State) *raftpb.Change {
	return state.ObserveNode(&raftpb.ObserveNode{
		Id: id, Status: &clusterpb.NodeStatus{State: s},
		Description: &clusterpb.NodeDescription{Hostname: id, DataAddr: "192.0.2.1", ControlAddr: id + ":2377", Addresses: []string{"198.51.100.1"}},
	})
}

func addService(id string, number uint32) *raftpb.Change {
	ports := []*clusterpb.Port{{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: number, Target: 80, Mode: clusterpb.Port_MODE_INGRESS}}
	return state.PutService(&raftpb.PutService{Id: id, Spec: &clusterpb.ServiceSpec{
		Name: id, Ports: ports, Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "web"}}},
	}, Ports: ports})
}

func addTask(id, service string, number uint32) *raftpb.Change {
	return state.CreateTask(&clusterpb.Task{
		Id: id, ServiceId: service, Desired: lifecycle.Running,
		Spec:  &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "web"}}},
		Ports: []*clusterpb.Port{{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: number, Target: 80}},
	})
}

func taskIs(id string, s clusterpb.TaskState) *raftpb.Change {
	return state.ObserveTask(id, &clusterpb.TaskStatus{State: s})
}

// text writes assignments as TASKS | PEERS | PORTS, with - before what goes.
func text(a *dispatchpb.Assignments) string {
	if a == nil {
		return "nothing"
	}
	var tasks, peers, ports []string
	for _, t := range a.GetTasks() {
		tasks = append(tasks, t.GetTask().GetId()+":"+lifecycle.Name(t.GetTask().GetDesired()))
	}
	for _, id := range a.GetGoneTasks() {
		tasks = append(tasks, "-"+id)
	}
	for _, p := range a.GetPeers() {
		peers = append(peers, fmt.Sprintf("%s%v", p.GetId(), network.Addresses(p.GetAttachments())))
	}
	for _, id := range a.GetGonePeers() {
		peers = append(peers, "-"+id)
	}
	for _, p := range a.GetPorts() {
		var on []string
		for _, e := range p.GetEndpoints() {
			on = append(on, e.GetTaskId())
		}
		ports = append(ports, fmt.Sprintf("%d=%s", p.GetPublished(), strings.Join(on, "+")))
	}
	for _, p := range a.GetGonePorts() {
		ports = append(ports, fmt.Sprintf("-%d", p.GetPublished()))
	}
	return strings.Join(tasks, " ") + " | " + strings.Join(peers, " ") + " | " + strings.Join(ports, " ")
}

// TestAssignments tells one story; at each step, what node n1 is sent.
func TestAssignments(t *testing.T) {
	w := newWorld(t, slices.Concat(addNode("n1"), addNode("n2"), addNode("n3"))...)
	steps := []struct {
		name    string
		changes []*raftpb.Change
		want    string
	}{
		{"at first everything", nil, " | n2[] n3[] | "},
		{"a service without tasks has its port", []*raftpb.Change{addService("web", 8111)}, " |  | 8111="},
		{"an unassigned task is no news", []*raftpb.Change{addTask("a", "web", 8111), addTask("b", "web", 8111)}, "nothing"},
		{"an own task", []*raftpb.Change{state.AssignTask("a", "n1", storetest.Attached("10.0.0.1"))}, "a:running |  | "},
		{"another's task is an address", []*raftpb.Change{state.AssignTask("b", "n2", storetest.Attached("10.0.0.2"))}, " | n2[10.0.0.2] | "},
		{"own reports come back to nobody", []*raftpb.Change{taskIs("a", lifecycle.Starting)}, "nothing"},
		{"running tasks take connections", []*raftpb.Change{taskIs("a", lifecycle.Running), taskIs("b", lifecycle.Running)}, " |  | 8111=a+b"},
		{"unhealthy ones do not", []*raftpb.Change{state.ObserveTask("b", &clusterpb.TaskStatus{
			State: lifecycle.Running, Health: &clusterpb.HealthStatus{State: clusterpb.HealthStatus_STATE_UNHEALTHY},
		})}, " |  | 8111=a"},
		{"healthy again", []*raftpb.Change{taskIs("b", lifecycle.Running)}, " |  | 8111=a+b"},
		{"to stop is to leave the mesh", []*raftpb.Change{state.SetDesired("a", lifecycle.Shutdown, "")}, "a:shutdown |  | 8111=b"},
		{"an ended task stays listed", []*raftpb.Change{taskIs("a", lifecycle.Shutdown)}, "nothing"},
		{"until it is deleted", []*raftpb.Change{state.DeleteTask("a")}, "-a |  | "},
		{"a node that is down", []*raftpb.Change{nodeIs("n2", clusterpb.NodeStatus_STATE_DOWN)}, " | -n2 | 8111="},
		{"and back", []*raftpb.Change{nodeIs("n2", clusterpb.NodeStatus_STATE_READY)}, " | n2[10.0.0.2] | 8111=b"},
		{"disconnected is not down", []*raftpb.Change{nodeIs("n2", clusterpb.NodeStatus_STATE_DISCONNECTED)}, "nothing"},
		{"a removed service keeps its running tasks' port", []*raftpb.Change{state.DeleteService("web")}, "nothing"},
		{"a removed node", []*raftpb.Change{state.DeleteNode("n2", nil)}, " | -n2 | -8111"},
	}
	for _, s := range steps {
		if s.changes != nil {
			w.apply(s.changes...)
		}
		if got := text(w.send("n1")); got != s.want {
			t.Errorf("%s: sent %q, want %q", s.name, got, s.want)
		}
	}
}

// TestTwoNetworks has tasks on n2 in the network of published ports, in another,
// and in both.
func TestTwoNetworks(t *testing.T) {
	in := func(addr string) *clusterpb.Attachment {
		return &clusterpb.Attachment{NetworkId: "x1", Addresses: []string{addr}}
	}
	w := newWorld(t, slices.Concat(addNode("n1"), addNode("n2"), []*raftpb.Change{
		addNetwork("x1", "10.1.0.0/16"), addService("web", 80), addTask("a", "web", 80), addTask("b", "web", 80), addTask("c", "web", 80),
		state.AssignTask("a", "n2", storetest.Attached("10.0.0.1")),
		state.AssignTask("b", "n2", []*clusterpb.Attachment{in("10.1.0.3")}),
		state.AssignTask("c", "n2", append([]*clusterpb.Attachment{in("10.1.0.2")}, storetest.Attached("10.0.0.2")...)),
		taskIs("a", lifecycle.Running), taskIs("b", lifecycle.Running), taskIs("c", lifecycle.Running),
	})...)
	got := w.send("n1")
	want := []*clusterpb.Attachment{
		{NetworkId: network.Ingress, Addresses: []string{"10.0.0.1", "10.0.0.2"}},
		{NetworkId: "x1", Addresses: []string{"10.1.0.2", "10.1.0.3"}},
	}
	if a := got.GetPeers()[0].GetAddresses(); !slices.Equal(a, []string{"198.51.100.1"}) {
		t.Errorf("the peer's further addresses are %q", a)
	}
	if d := cmp.Diff(want, got.GetPeers()[0].GetAttachments(), protocmp.Transform()); d != "" {
		t.Errorf("attachments on n2 (-want +got):\n%s", d)
	}
	var answering []string
	for _, e := range got.GetPorts()[0].GetEndpoints() {
		answering = append(answering, e.GetTaskId()+strings.Join(e.GetAddresses(), ","))
	}
	if d := cmp.Diff([]string{"a10.0.0.1", "c10.0.0.2"}, answering); d != "" {
		t.Errorf("endpoints (-want +got):\n%s", d)
	}
}

func TestPortChangesHands(t *testing.T) {
	w := newWorld(t, slices.Concat(addNode("n1"), []*raftpb.Change{
		addService("a-old", 80), addTask("a", "a-old", 80), state.AssignTask("a", "n1", storetest.Attached("10.0.0.1")), taskIs("a", lifecycle.Running),
	})...)
	w.send("n1")
	w.apply(state.DeleteService("a-old"), addService("b-new", 80))
	if got := text(w.send("n1")); got != " |  | 80=" {
		t.Errorf("sent %q, want the new service to have the port, without tasks", got)
	}
	w.apply(state.DeleteService("b-new"))
	if got := text(w.send("n1")); got != " |  | 80=a" {
		t.Errorf("sent %q, want the old tasks to answer again", got)
	}
}

func TestSettingsAndSources(t *testing.T) {
	w := newWorld(t, slices.Concat(addNode("n1"), addNode("n2"), addNode("n3"))...)
	w.send("n1")
	holds := func(id, digest string) *raftpb.Change {
		return state.ObserveNode(&raftpb.ObserveNode{Id: id, Images: &raftpb.NodeImages{
			Images: []*clusterpb.NodeImage{{Name: "docker.io/library/web:latest", Digest: digest}},
		}})
	}
	w.apply(holds("n1", "sha256:1"), holds("n2", "sha256:1"), holds("n3", "sha256:2"))
	if got := text(w.send("n1")); got != "nothing" {
		t.Errorf("sent %q, want nothing: no task needs the image", got)
	}
	w.apply(addService("web", 80), addTask("a", "web", 80), state.AssignTask("a", "n1", nil))
	want := []*dispatchpb.ImageSource{{Image: "web", Digest: "sha256:1", Addrs: []string{"n2:2377"}}}
	sources := func(a *dispatchpb.Assignments) []*dispatchpb.ImageSource {
		if len(a.GetTasks()) != 1 || a.GetTasks()[0].GetTask().GetId() != "a" {
			t.Fatalf("sent %q, want task a", text(a))
		}
		return a.GetTasks()[0].GetSources()
	}
	if d := cmp.Diff(want, sources(w.send("n1")), protocmp.Transform()); d != "" {
		t.Errorf("sources (-want +got):\n%s", d)
	}
	w.apply(holds("n3", "sha256:1"))
	if got := sources(w.send("n1")); len(got) != 1 || len(got[0].GetAddrs()) != 2 {
		t.Errorf("sources %v, want another node to be told of", got)
	}
	w.apply(holds("n2", "sha256:2"), holds("n3", "sha256:2"), addTask("b", "web", 80), state.AssignTask("b", "n2", nil))
	if got := sources(w.send("n1")); len(got) != 1 || got[0].GetDigest() != "sha256:2" {
		t.Errorf("sources %v, want what nodes hold now", got)
	}
	w.apply(holds("n2", "sha256:3"), taskIs("a", lifecycle.Ready))
	if got := text(w.send("n1")); got != "nothing" {
		t.Errorf("sent %q, want nothing: the task has its image", got)
	}
	if got := sources(w.plan.Set("n1").Full()); len(got) != 0 {
		t.Errorf("sources %v of a task that has its image", got)
	}

	w.apply(state.RotateGossipKeys(w.st.Secrets().GetVersion(), [][]byte{{1}}))
	a := w.send("n1")
	n1, _ := w.st.Node("n1")
	wantSettings := &dispatchpb.Settings{
		SelfIndex: n1.GetIndex(), Networks: []*dispatchpb.Network{{Id: network.Ingress, Subnets: []string{"10.0.0.0/16"}}}, DataPathPort: 4789, ClusterId: "c", GossipKeys: [][]byte{{1}},
		HeartbeatPeriod: durationpb.New(time.Second),
	}
	if d := cmp.Diff(wantSettings, a.GetSettings(), protocmp.Transform()); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
	w.apply(addNetwork("x2", "10.1.0.0/16"))
	if got := w.send("n1").GetSettings().GetNetworks(); len(got) != 2 || got[1].GetId() != "x2" {
		t.Errorf("networks %v, want the new one among them", got)
	}
}

// TestDiffsAddUp changes the state at random and updates nodes at random
// times: what a node was sent in pieces is what a full set says.
func TestDiffsAddUp(t *testing.T) {
	nodes := []string{"n1", "n2", "n3"}
	services := []string{"s1", "s2", "s3"}
	states := []clusterpb.TaskState{lifecycle.Accepted, lifecycle.Ready, lifecycle.Running, lifecycle.Failed, lifecycle.Shutdown}
	nodeStates := []clusterpb.NodeStatus_State{clusterpb.NodeStatus_STATE_READY, clusterpb.NodeStatus_STATE_DOWN, clusterpb.NodeStatus_STATE_DISCONNECTED}

	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		for _, n := range nodes {
			w.apply(addNode(n)...)
		}
		tasks, addrs := 0, 0
		task := func(rt *rapid.T) string { return fmt.Sprint("t", rapid.IntRange(1, max(tasks, 1)).Draw(rt, "task")) }
		node := func(rt *rapid.T) string { return rapid.SampledFrom(nodes).Draw(rt, "node") }
		service := func(rt *rapid.T) string { return rapid.SampledFrom(services).Draw(rt, "service") }
		number := func(rt *rapid.T) uint32 { return uint32(rapid.IntRange(80, 82).Draw(rt, "port")) }
		rt.Repeat(map[string]func(*rapid.T){
			"put service":    func(rt *rapid.T) { w.try(addService(service(rt), number(rt))) },
			"delete service": func(rt *rapid.T) { w.try(state.DeleteService(service(rt))) },
			"create task": func(rt *rapid.T) {
				tasks++
				w.try(addTask(fmt.Sprint("t", tasks), service(rt), number(rt)))
			},
			"assign": func(rt *rapid.T) {
				addrs++
				w.try(state.AssignTask(task(rt), node(rt), storetest.Attached(fmt.Sprintf("10.0.%d.%d", addrs/250, addrs%250+1))))
			},
			"observe": func(rt *rapid.T) { w.try(taskIs(task(rt), rapid.SampledFrom(states).Draw(rt, "state"))) },
			"desire": func(rt *rapid.T) {
				w.try(state.SetDesired(task(rt), rapid.SampledFrom([]clusterpb.TaskState{lifecycle.Shutdown, lifecycle.Remove}).Draw(rt, "desired"), ""))
			},
			"delete task": func(rt *rapid.T) { w.try(state.DeleteTask(task(rt))) },
			"node state":  func(rt *rapid.T) { w.try(nodeIs(node(rt), rapid.SampledFrom(nodeStates).Draw(rt, "state"))) },
			"remove node": func(rt *rapid.T) { w.try(state.DeleteNode(node(rt), nil)) },
			"add node":    func(rt *rapid.T) { w.try(addNode(node(rt))...) },
			"send":        func(rt *rapid.T) { w.send(node(rt)) },
			"": func(rt *rapid.T) {
				// The plan that followed every change is the plan of the state.
				fresh := First(w.st, w.st.Index)
				compareMesh(rt, fresh.mesh, w.plan.mesh)
				for id, n := range w.held {
					if n.base.index == w.plan.index {
						compareNode(rt, fresh, id, n)
					}
				}
			},
		})
		for _, id := range nodes {
			w.send(id)
			compareNode(rt, First(w.st, w.st.Index), id, w.held[id])
		}
	})
}

func compareMesh(t *rapid.T, want, got *mesh) {
	if d := cmp.Diff(want.peers, got.peers, protocmp.Transform()); d != "" {
		t.Fatalf("peers (-fresh +followed):\n%s", d)
	}
	if d := cmp.Diff(want.ports, got.ports, protocmp.Transform()); d != "" {
		t.Fatalf("ports (-fresh +followed):\n%s", d)
	}
}

func compareNode(t *rapid.T, p *Plan, id string, n *node) {
	want := &node{}
	want.take(p.Set(id).Full())
	// What the node itself observed is not sent again.
	orders := func(tasks map[string]*clusterpb.Task) (list []string) {
		for _, t := range tasks {
			list = append(list, fmt.Sprint(t.GetId(), t.GetDesired(), t.GetDesiredIndex(), t.GetAttachments(), isOrphaned(t)))
		}
		slices.Sort(list)
		return list
	}
	if d := cmp.Diff(orders(want.tasks), orders(n.tasks)); d != "" {
		t.Fatalf("tasks of %s (-full +pieces):\n%s", id, d)
	}
	if d := cmp.Diff(want.peers, n.peers, protocmp.Transform()); d != "" {
		t.Fatalf("peers of %s (-full +pieces):\n%s", id, d)
	}
	if d := cmp.Diff(want.ports, n.ports, protocmp.Transform()); d != "" {
		t.Fatalf("ports of %s (-full +pieces):\n%s", id, d)
	}
}
