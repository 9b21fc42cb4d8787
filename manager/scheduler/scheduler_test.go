package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/muster/muster/manager/control/controltest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// addNodes reads nodes as "ID[,key=value…]": mem and cpu in units, zone and
// rack as labels, arch, control as port, and state down, drain or pause.
func addNodes(t *testing.T, w *controltest.World, text string) {
	t.Helper()
	for f := range strings.FieldsSeq(text) {
		id, rest, _ := strings.Cut(f, ",")
		w.AddNode(id, func(n *clusterpb.Node) {
			n.Spec.Labels = make(map[string]string)
			for opt := range strings.SplitSeq(rest, ",") {
				key, value, _ := strings.Cut(opt, "=")
				var amount int64
				_, _ = fmt.Sscan(value, &amount)
				switch key {
				case "mem":
					n.Description.Resources.MemoryBytes = amount
				case "cpu":
					n.Description.Resources.NanoCpus = amount
				case "zone", "rack":
					n.Spec.Labels[key] = value
				case "arch":
					n.Description.Platform.Architecture = value
				case "control":
					n.Description.ControlAddr = "192.0.2.1:" + value
				case "down":
					n.Status.State = clusterpb.NodeStatus_STATE_DOWN
				case "unwell":
					n.Status.State = clusterpb.NodeStatus_STATE_UNWELL
				case "drain":
					n.Spec.Availability = clusterpb.NodeSpec_AVAILABILITY_DRAIN
				case "pause":
					n.Spec.Availability = clusterpb.NodeSpec_AVAILABILITY_PAUSE
				case "":
				default:
					t.Fatalf("node %q: unknown %q", f, key)
				}
			}
		})
	}
}

// addTasks reads "COUNT@NODE" for running tasks of a service and "COUNT" for
// waiting ones.
func addTasks(t *testing.T, w *controltest.World, service, text string, spec *clusterpb.TaskSpec, ports ...*clusterpb.Port) {
	t.Helper()
	addLike(t, w, service, text, &clusterpb.Task{Spec: spec, Ports: ports})
}

// addLike is addTasks for tasks with the spec, images and ports of another.
func addLike(t *testing.T, w *controltest.World, service, text string, like *clusterpb.Task) {
	t.Helper()
	slot := uint32(0)
	for f := range strings.FieldsSeq(text) {
		count, node, placed := strings.Cut(f, "@")
		var n int
		if _, err := fmt.Sscan(count, &n); err != nil {
			t.Fatalf("tasks %q: %v", f, err)
		}
		for range n {
			slot++
			task := &clusterpb.Task{
				Id: w.ID(), ServiceId: service, Slot: slot, SpecVersion: 1, Desired: lifecycle.Running,
				Spec: like.GetSpec(), Images: like.GetImages(), Ports: like.GetPorts(),
			}
			w.Apply(state.CreateTask(task))
			if placed {
				w.Apply(state.AssignTask(task.GetId(), node, nil))
				w.Observe(task, lifecycle.Running)
			}
		}
	}
}

// placement tells how many tasks of a service each node has and why others wait.
func placement(w *controltest.World, service string) string {
	counts := make(map[string]int)
	for t := range w.State.TasksOf(service) {
		switch {
		case t.GetDesired() > lifecycle.Running || lifecycle.Ended(t.GetStatus().GetState()):
		case t.GetNodeId() != "":
			counts[t.GetNodeId()]++
		default:
			counts[t.GetStatus().GetErr()]++
		}
	}
	var out []string
	for at, n := range counts {
		out = append(out, fmt.Sprintf("%d@%s", n, at))
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(a[strings.Index(a, "@"):], b[strings.Index(b, "@"):]) })
	return strings.Join(out, " ")
}

func reserve(memory, cpus int64) *clusterpb.TaskSpec {
	return &clusterpb.TaskSpec{Reservations: &clusterpb.Resources{MemoryBytes: memory, NanoCpus: cpus}}
}

// existsFor is an image that exists for one platform.
func existsFor(p *clusterpb.Platform) []*clusterpb.ResolvedImage {
	return []*clusterpb.ResolvedImage{{Image: "web", Platforms: []*clusterpb.Platform{p}}}
}

func place(p *clusterpb.Placement) *clusterpb.TaskSpec { return &clusterpb.TaskSpec{Placement: p} }

var hostPort80 = &clusterpb.Port{Mode: clusterpb.Port_MODE_HOST, Target: 80, Published: 80}

func TestPlacement(t *testing.T) {
	tests := map[string]struct {
		nodes  string
		other  string // tasks of another service
		tasks  string
		spec   *clusterpb.TaskSpec
		images []*clusterpb.ResolvedImage
		ports  []*clusterpb.Port
		want   string
	}{
		"spread evenly":            {nodes: "a b c", tasks: "6", want: "2@a 2@b 2@c"},
		"fill up the emptiest":     {nodes: "a b c", tasks: "2@a 4", want: "2@a 2@b 2@c"},
		"own service counts first": {nodes: "a b", other: "5@a", tasks: "2", want: "1@a 1@b"},
		"then tasks in total":      {nodes: "a b c", other: "1@a 1@c", tasks: "1", want: "1@b"},
		"no node":                  {tasks: "2", want: "2@no suitable node: the cluster has none"},
		"nodes not ready":          {nodes: "a,down b,drain c,pause e,unwell d", tasks: "2", want: "2@d"},
		"none ready":               {nodes: "a,down b,drain", tasks: "1", want: "1@no suitable node (2 nodes not available for new tasks)"},
		"memory":                   {nodes: "a,mem=10 b,mem=25", tasks: "5", spec: reserve(10, 0), want: "1@a 2@b 2@no suitable node (insufficient memory on 2 nodes)"},
		"cpu held by others":       {nodes: "a,cpu=3 b,cpu=1", tasks: "1@a 3", spec: reserve(0, 1), want: "3@a 1@b"},
		"cpu":                      {nodes: "a,cpu=1", tasks: "2", spec: reserve(0, 1), want: "1@a 1@no suitable node (insufficient cpu on 1 node)"},
		"constraint":               {nodes: "a,zone=x b,zone=y", tasks: "2", spec: place(&clusterpb.Placement{Constraints: []string{"node.labels.zone==x"}}), want: "2@a"},
		"constraint unmet": {
			nodes: "a,zone=x b,zone=y c,down", tasks: "1", spec: place(&clusterpb.Placement{Constraints: []string{"node.labels.zone==z"}}),
			want: "1@no suitable node (scheduling constraints not satisfied on 2 nodes; 1 node not available for new tasks)",
		},
		"platform": {
			nodes: "a b,arch=aarch64", tasks: "2", images: existsFor(&clusterpb.Platform{Os: "linux", Architecture: "arm64"}),
			want: "2@b",
		},
		"two images, and no node for both": {
			nodes: "a b,arch=aarch64", tasks: "1",
			images: append(existsFor(&clusterpb.Platform{Architecture: "arm64"}), existsFor(&clusterpb.Platform{Architecture: "amd64"})...),
			want:   "1@no suitable node (unsupported platform on 2 nodes)",
		},
		"unsupported platform": {
			nodes: "a", tasks: "1", images: existsFor(&clusterpb.Platform{Os: "windows"}),
			want: "1@no suitable node (unsupported platform on 1 node)",
		},
		"own port":     {nodes: "a,control=80 b", tasks: "2", ports: []*clusterpb.Port{hostPort80}, want: "1@b 1@no suitable node (host-mode port already in use on 2 nodes)"},
		"host port":    {nodes: "a b", tasks: "3", ports: []*clusterpb.Port{hostPort80}, want: "1@a 1@b 1@no suitable node (host-mode port already in use on 2 nodes)"},
		"max per node": {nodes: "a b", tasks: "1@a 4", spec: place(&clusterpb.Placement{MaxPerNode: 2}), want: "2@a 2@b 1@no suitable node (max replicas per node reached on 2 nodes)"},
		"spread over zones": {
			nodes: "a,zone=x b,zone=x c,zone=y d", tasks: "6", spec: place(&clusterpb.Placement{Spread: []string{"node.labels.zone"}}),
			want: "1@a 1@b 2@c 2@d",
		},
		"spread over zones, then racks": {
			nodes: "a,zone=x,rack=1 b,zone=x,rack=1 c,zone=x,rack=2 d,zone=y,rack=1", tasks: "8",
			spec: place(&clusterpb.Placement{Spread: []string{"node.labels.zone", "node.labels.rack"}}),
			want: "1@a 1@b 2@c 4@d",
		},
		"a full zone does not stop the others": {
			nodes: "a,zone=x,mem=10 c,zone=y,mem=90", tasks: "4",
			spec: &clusterpb.TaskSpec{Reservations: &clusterpb.Resources{MemoryBytes: 10}, Placement: &clusterpb.Placement{Spread: []string{"node.labels.zone"}}},
			want: "1@a 3@c",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := controltest.New(t)
			addNodes(t, w, tt.nodes)
			addTasks(t, w, "other", tt.other, nil)
			addLike(t, w, "web", tt.tasks, &clusterpb.Task{Spec: tt.spec, Images: tt.images, Ports: tt.ports})
			w.Turn(Controller())
			if got := placement(w, "web"); got != tt.want {
				t.Errorf("placed %s, want %s", got, tt.want)
			}
			// What a pass leaves behind needs no further pass.
			if w.Turn(Controller()) {
				t.Errorf("a second pass changed something: %s", placement(w, "web"))
			}
		})
	}
}

func TestFailingNodeComesLast(t *testing.T) {
	w := controltest.New(t)
	addNodes(t, w, "a b")
	addTasks(t, w, "other", "9@b", nil)
	addTasks(t, w, "web", "4@a", nil)
	for task := range w.State.TasksOf("web") {
		w.Observe(task, lifecycle.Failed)
	}
	addTasks(t, w, "web", "1", nil)
	w.Turn(Controller())
	if got := placement(w, "web"); got != "1@b" {
		t.Errorf("placed %s, want it on b, where it did not fail", got)
	}

	w.Now = w.Now.Add(failureWindow + time.Second)
	addTasks(t, w, "web", "1", nil)
	w.Turn(Controller())
	if got := placement(w, "web"); got != "1@a 1@b" {
		t.Errorf("placed %s, want the failures forgotten", got)
	}
}

// TestReturningNodeIsAsGoodAsAny has a node come back whose tasks ended with it.
func TestReturningNodeIsAsGoodAsAny(t *testing.T) {
	w := controltest.New(t)
	addNodes(t, w, "a b")
	addTasks(t, w, "other", "9@b", nil)
	addTasks(t, w, "web", "4@a", nil)
	for task := range w.State.TasksOf("web") {
		w.Apply(state.SetDesired(task.GetId(), lifecycle.Shutdown, ""))
	}
	w.Now = w.Now.Add(time.Second)
	for task := range w.State.TasksOf("web") {
		w.Observe(task, lifecycle.Failed)
	}
	addTasks(t, w, "web", "1", nil)
	w.Turn(Controller())
	if got := placement(w, "web"); got != "1@a" {
		t.Errorf("placed %s, want it on a, which has the fewest tasks", got)
	}
}

func TestReasonIsNotWrittenAllTheTime(t *testing.T) {
	w := controltest.New(t)
	addNodes(t, w, "a,mem=1")
	addTasks(t, w, "web", "1", reserve(10, 0))
	w.Turn(Controller())
	addNodes(t, w, "b,mem=1")
	if w.Turn(Controller()) {
		t.Errorf("the reason was written again at once: %s", placement(w, "web"))
	}
	due, ok := w.Due()
	if !ok || due.Sub(w.Now) > settle {
		t.Fatalf("due %v, %v, want within %s", due, ok, settle)
	}
	w.Now = due
	w.Turn(Controller())
	if got, want := placement(w, "web"), "1@no suitable node (insufficient memory on 2 nodes)"; got != want {
		t.Errorf("says %s, want %s", got, want)
	}
	addNodes(t, w, "c,mem=10")
	w.Turn(Controller())
	if got := placement(w, "web"); got != "1@c" {
		t.Errorf("placed %s, want it on the new node", got)
	}
}

func TestHeldTaskMayHaveWhatItsPredecessorHolds(t *testing.T) {
	w := controltest.New(t)
	addNodes(t, w, "a,mem=10")
	addTasks(t, w, "web", "1@a", reserve(10, 0), hostPort80)
	old := slices.Collect(w.State.TasksOf("web"))[0]
	next := &clusterpb.Task{
		Id: w.ID(), ServiceId: "web", Slot: 1, Spec: old.GetSpec(), SpecVersion: 2, Ports: old.GetPorts(),
		Desired: lifecycle.Ready, Predecessor: old.GetId(), Hold: true,
	}
	w.Apply(state.SetDesired(old.GetId(), lifecycle.Shutdown, ""), state.CreateTask(next))
	addTasks(t, w, "greedy", "1", reserve(10, 0))
	w.Turn(Controller())
	if got := placement(w, "web"); got != "1@a" {
		t.Errorf("placed %s, want it on its predecessor's node", got)
	}
	if got := placement(w, "greedy"); !strings.Contains(got, "insufficient memory") {
		t.Errorf("another service got the room: %s", got)
	}
}

// TestHeldTaskOfOneThatEnded: what a predecessor gave back may be another's.
func TestHeldTaskOfOneThatEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		spec *clusterpb.TaskSpec
		want string
	}{
		"memory": {reserve(10, 0), "insufficient memory"},
		"a port": {nil, "host-mode port already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			w := controltest.New(t)
			addNodes(t, w, "a,mem=10")
			addTasks(t, w, "web", "1@a", tt.spec, hostPort80)
			old := slices.Collect(w.State.TasksOf("web"))[0]
			w.Observe(old, lifecycle.Failed)
			addTasks(t, w, "greedy", "1@a", tt.spec, hostPort80)
			w.Apply(state.CreateTask(&clusterpb.Task{
				Id: w.ID(), ServiceId: "web", Slot: 1, Spec: old.GetSpec(), SpecVersion: 2, Ports: old.GetPorts(),
				Desired: lifecycle.Ready, Predecessor: old.GetId(), Hold: true,
			}))
			w.Turn(Controller())
			if got := placement(w, "web"); !strings.Contains(got, tt.want) {
				t.Errorf("placed %s, want it to wait: %s", got, tt.want)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	w := controltest.New(t)
	w.Apply(state.CreateNetwork(&raftpb.CreateNetwork{
		Id: network.Ingress, Spec: &clusterpb.NetworkSpec{Name: network.Ingress}, Subnets: []string{"10.0.0.0/29", "fd00::/64"},
	}))
	addNodes(t, w, "a b")
	addTasks(t, w, "web", "3", nil)
	w.Turn(Controller())
	want := []string{"10.0.0.2 fd00::2", "10.0.0.3 fd00::3", "10.0.0.4 fd00::4"}
	if diff := cmp.Diff(want, addresses(w)); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}

	// One that came free is left alone while there are others.
	first := slices.Collect(w.State.TasksOf("web"))[0]
	w.Apply(state.SetDesired(first.GetId(), lifecycle.Shutdown, ""))
	w.Observe(first, lifecycle.Shutdown)
	addTasks(t, w, "more", "2", nil)
	w.Turn(Controller())
	if got := addresses(w); !slices.Contains(got, "10.0.0.5 fd00::5") || !slices.Contains(got, "10.0.0.6 fd00::6") {
		t.Errorf("addresses %q, want the walk to go on", got)
	}
	addTasks(t, w, "most", "2", nil)
	w.Turn(Controller())
	if got, want := placement(w, "most"), "1@a 1@no address left in network ingress (10.0.0.0/29 and fd00::/64)"; got != want {
		t.Errorf("placed %s, want %s", got, want)
	}
}

func addresses(w *controltest.World) (out []string) {
	for t := range w.State.Tasks() {
		if !lifecycle.Ended(t.GetStatus().GetState()) && len(t.GetAttachments()) > 0 {
			out = append(out, strings.Join(network.Answering(t.GetAttachments()), " "))
		}
	}
	slices.Sort(out)
	return out
}

func TestKeysOf(t *testing.T) {
	w := controltest.New(t)
	addNodes(t, w, "a,mem=1")
	addTasks(t, w, "web", "1@a", nil)
	running := slices.Collect(w.State.TasksOf("web"))[0]
	node := state.Ref{Kind: state.KindNode, ID: "a"}
	task := state.Ref{Kind: state.KindTask, ID: running.GetId()}
	check := func(what string, ref state.Ref, want bool) {
		t.Helper()
		if got := len(keysOf(w.State, ref)) > 0; got != want {
			t.Errorf("%s wakes the scheduler: %v, want %v", what, got, want)
		}
	}
	check("a node while nothing waits", node, false)
	addTasks(t, w, "big", "1", reserve(10, 0))
	check("a node while a task waits", node, true)
	check("a task that goes on running", task, false)
	w.Observe(running, lifecycle.Failed)
	check("a task that ended", task, true)
}
