package worker

import (
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/muster/muster/ingress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/worker/state"
	"github.com/muster/muster/worker/task"
)

func TestApply(t *testing.T) {
	first := &dispatchpb.Assignments{
		Index: 5, Full: true, Tasks: assigned("a", "b"),
		Peers: []*dispatchpb.Peer{{Id: "n2"}}, Ports: []*dispatchpb.MeshPort{{Protocol: 1, Published: 80}},
	}
	tests := map[string]struct {
		message *dispatchpb.Assignments
		tasks   string
		gone    string
		peers   string
		refused bool
	}{
		"difference": {
			&dispatchpb.Assignments{Index: 7, Base: 5, Tasks: assigned("c"), GoneTasks: []string{"a"}, Peers: []*dispatchpb.Peer{{Id: "n3"}}},
			"b c", "a", "n2 n3", false,
		},
		"full again":         {&dispatchpb.Assignments{Index: 3, Full: true, Tasks: assigned("b")}, "b", "a", "", false},
		"difference to what": {&dispatchpb.Assignments{Index: 7, Base: 6}, "", "", "", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h, _, err := remembered(&state.Saved{Tasks: map[string]*dispatchpb.TaskAssignment{}}).apply(first)
			if err != nil {
				t.Fatal(err)
			}
			next, gone, err := h.apply(tt.message)
			if tt.refused {
				if !errdefs.IsFailedPrecondition(err) {
					t.Fatalf("err %v, want failed precondition", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			keys := func(m map[string]*dispatchpb.TaskAssignment) string {
				return strings.Join(slices.Sorted(maps.Keys(m)), " ")
			}
			if got := keys(next.tasks); got != tt.tasks || strings.Join(gone, " ") != tt.gone {
				t.Errorf("tasks %q, gone %q, want %q and %q", got, gone, tt.tasks, tt.gone)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(next.peers)), " "); got != tt.peers {
				t.Errorf("peers %q, want %q", got, tt.peers)
			}
			if keys(h.tasks) != "a b" || len(h.peers) != 1 {
				t.Error("the one before was changed")
			}
		})
	}
}

// What a daemon remembers after a restart is what it held before.
func TestDiskTakesAssignmentsInAsMemoryDoes(t *testing.T) {
	db, err := state.Open(filepath.Join(t.TempDir(), "worker.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	h := remembered(&state.Saved{})
	for i, a := range []*dispatchpb.Assignments{
		{
			Index: 5, Full: true, Tasks: assigned("a", "b"), Peers: []*dispatchpb.Peer{{Id: "n2"}, {Id: "n3"}},
			Ports:    []*dispatchpb.MeshPort{{Protocol: 1, Published: 80}, {Protocol: 2, Published: 80}},
			Settings: &dispatchpb.Settings{SelfIndex: 1},
		},
		{
			Index: 6, Base: 5, Tasks: assigned("b", "c"), GoneTasks: []string{"a"}, GonePeers: []string{"n2"},
			Peers:     []*dispatchpb.Peer{{Id: "n3", Index: 3}},
			Ports:     []*dispatchpb.MeshPort{{Protocol: 1, Published: 80, ServiceId: "web"}},
			GonePorts: []*dispatchpb.MeshPort{{Protocol: 2, Published: 80}},
			Settings:  &dispatchpb.Settings{SelfIndex: 2},
		},
		{Index: 6, Base: 6, Tasks: assigned("c"), GoneTasks: []string{"c"}, Settings: &dispatchpb.Settings{SelfIndex: 2}},
		{Index: 9, Full: true, Tasks: assigned("d"), Settings: &dispatchpb.Settings{SelfIndex: 3}},
	} {
		if h, _, err = h.apply(a); err != nil {
			t.Fatal(err)
		}
		if err := db.Apply(a); err != nil {
			t.Fatal(err)
		}
		saved, err := db.Load()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h, remembered(saved), cmp.AllowUnexported(held{}), cmpopts.IgnoreFields(held{}, "index"), protocmp.Transform()); diff != "" {
			t.Errorf("after message %d, held (-) and remembered (+):\n%s", i, diff)
		}
	}
}

func assigned(ids ...string) (list []*dispatchpb.TaskAssignment) {
	for _, id := range ids {
		list = append(list, &dispatchpb.TaskAssignment{Task: &clusterpb.Task{Id: id}})
	}
	return list
}

// TestWantPorts says which endpoints the node's kernel gets, by what the node
// knows of its own task t1.
func TestWantPorts(t *testing.T) {
	h := &held{
		settings: &dispatchpb.Settings{SelfIndex: 1},
		ports: map[port.Key]*dispatchpb.MeshPort{{Protocol: 1, Number: 80}: {Protocol: 1, Published: 80, Endpoints: []*dispatchpb.MeshEndpoint{
			{TaskId: "t1", NodeId: "n1", Addresses: []string{"10.0.0.1", "fd00::1"}, Target: 8080},
			{TaskId: "t2", NodeId: "n2", Addresses: []string{"10.0.0.2"}, Target: 8080},
		}}},
	}
	snapshot := func(serving bool, host ...*clusterpb.Port) map[string]task.Snapshot {
		return map[string]task.Snapshot{"t1": {
			Task: &clusterpb.Task{Id: "t1", Attachments: []*clusterpb.Attachment{{NetworkId: "ingress", Addresses: []string{"10.0.0.1"}}}}, Serving: serving, Status: &clusterpb.TaskStatus{HostPorts: host},
		}}
	}
	udp := &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_UDP, Mode: clusterpb.Port_MODE_HOST, Published: 53, Target: 5353}
	tests := map[string]struct {
		tasks map[string]task.Snapshot
		want  string
	}{
		"serving":                  {snapshot(true), "tcp/80:10.0.0.1:8080,[fd00::1]:8080,10.0.0.2:8080"},
		"stopping":                 {snapshot(false), "tcp/80:10.0.0.2:8080"},
		"unknown here":             {nil, "tcp/80:10.0.0.2:8080"},
		"host port":                {snapshot(true, udp), "tcp/80:10.0.0.1:8080,[fd00::1]:8080,10.0.0.2:8080 host udp/53:10.0.0.1:5353"},
		"host port while stopping": {snapshot(false, udp), "tcp/80:10.0.0.2:8080"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := format(wantOf(h, tt.tasks, "n1", "192.0.2.1").Ports); got != tt.want {
				t.Errorf("ports %q, want %q", got, tt.want)
			}
		})
	}
	if w := wantOf(&held{}, nil, "n1", "192.0.2.1"); w != nil {
		t.Errorf("a node nobody has talked to wants %v", w)
	}
	if w := wantOf(&held{settings: &dispatchpb.Settings{}}, nil, "n1", "192.0.2.1"); w != nil {
		t.Errorf("a node that was removed wants %v", w)
	}
}

func TestWantNetworks(t *testing.T) {
	both := []*clusterpb.Attachment{
		{NetworkId: "x1", Addresses: []string{"10.1.0.1"}}, {NetworkId: "ingress", Addresses: []string{"10.0.0.1", "fd00::1"}},
	}
	h := &held{
		settings: &dispatchpb.Settings{SelfIndex: 1, Networks: []*dispatchpb.Network{
			{Id: "ingress", Subnets: []string{"10.0.0.0/16", "fd00::/64"}}, {Id: "x1", Subnets: []string{"10.1.0.0/16"}},
		}},
		peers: map[string]*dispatchpb.Peer{"n2": {Id: "n2", Index: 2, DataAddr: "192.0.2.2", Addresses: []string{"198.51.100.2", "2001:db8::2"}, Attachments: both}},
	}
	host := &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: 80, Target: 8080}
	own := task.Snapshot{
		Task: &clusterpb.Task{Id: "t1", Attachments: both}, Attached: true, Serving: true,
		Status: &clusterpb.TaskStatus{HostPorts: []*clusterpb.Port{host}},
	}
	w := wantOf(h, map[string]task.Snapshot{"t1": own}, "n1", "192.0.2.1")
	networks := []ingress.Network{
		{ID: "ingress", Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("fd00::/64")}},
		{ID: "x1", Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
	}
	attachments := []ingress.Attachment{
		{Network: "x1", Addrs: []netip.Addr{netip.MustParseAddr("10.1.0.1")}},
		{Network: "ingress", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}},
	}
	opts := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	if d := cmp.Diff(networks, w.Networks, opts); d != "" {
		t.Errorf("networks (-want +got):\n%s", d)
	}
	if d := cmp.Diff(attachments, w.Tasks[0].Attachments, opts); d != "" {
		t.Errorf("the task's attachments (-want +got):\n%s", d)
	}
	if d := cmp.Diff(attachments, w.Nodes[0].Attachments, opts); d != "" {
		t.Errorf("the other node's attachments (-want +got):\n%s", d)
	}
	further := []netip.Addr{netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("2001:db8::2")}
	if d := cmp.Diff(further, w.Nodes[0].Addrs, opts); d != "" {
		t.Errorf("the other node's further addresses (-want +got):\n%s", d)
	}
	if got := format(w.Ports); got != "host tcp/80:10.0.0.1:8080,[fd00::1]:8080" {
		t.Errorf("a port of the node leads to %q", got)
	}
}

func format(ports []ingress.Port) string {
	var list []string
	for _, p := range ports {
		var on []string
		for _, e := range p.Endpoints {
			if e.Addr4.IsValid() {
				on = append(on, e.Addr4.String())
			}
			if e.Addr6.IsValid() {
				on = append(on, e.Addr6.String())
			}
		}
		s := map[byte]string{6: "tcp", 17: "udp"}[p.Protocol] + "/" + (map[uint16]string{80: "80", 53: "53"})[p.Published] + ":" + strings.Join(on, ",")
		if p.HostMode {
			s = "host " + s
		}
		list = append(list, s)
	}
	return strings.Join(list, " ")
}

func TestHostPorts(t *testing.T) {
	published := func(number uint32, mode clusterpb.Port_Mode) *clusterpb.Port {
		return &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: number, Target: 80, Mode: mode}
	}
	host := clusterpb.Port_MODE_HOST
	other := func(s clusterpb.TaskState, number uint32) map[string]task.Snapshot {
		return map[string]task.Snapshot{"o": {Status: &clusterpb.TaskStatus{State: s, HostPorts: []*clusterpb.Port{published(number, host)}}}}
	}
	tests := map[string]struct {
		ports []*clusterpb.Port
		tasks map[string]task.Snapshot
		want  []uint32
		taken bool
	}{
		"beside the node's":   {[]*clusterpb.Port{published(0, host), published(0, host), published(0, host)}, nil, []uint32{49153, 49155, 49158}, false},
		"the node's":          {[]*clusterpb.Port{published(49156, host)}, nil, nil, true},
		"as asked":            {[]*clusterpb.Port{published(90, host), published(80, clusterpb.Port_MODE_INGRESS)}, nil, []uint32{90}, false},
		"chosen":              {[]*clusterpb.Port{published(0, host), published(0, host)}, nil, []uint32{49153, 49155}, false},
		"beside others":       {[]*clusterpb.Port{published(0, host)}, other(lifecycle.Running, 49153), []uint32{49155}, false},
		"of one that ended":   {[]*clusterpb.Port{published(90, host)}, other(lifecycle.Failed, 90), []uint32{90}, false},
		"taken":               {[]*clusterpb.Port{published(90, host)}, other(lifecycle.Running, 90), nil, true},
		"asked for twice too": {[]*clusterpb.Port{published(90, host), published(90, host)}, nil, nil, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := chooseHostPorts(&clusterpb.Task{Id: "t", Ports: tt.ports}, tt.tasks, map[port.Key]*dispatchpb.MeshPort{{Protocol: 1, Number: 49154}: {}},
				[]port.Key{port.TCP(49156), port.TCP(49157), port.UDP(49158), port.UDP(49155)})
			if errdefs.IsAlreadyExists(err) != tt.taken || (err != nil) != tt.taken {
				t.Fatalf("err %v, want taken %v", err, tt.taken)
			}
			var published []uint32
			for _, p := range got {
				published = append(published, p.GetPublished())
			}
			if d := cmp.Diff(tt.want, published, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("ports (-want +got):\n%s", d)
			}
		})
	}
}
