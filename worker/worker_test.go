package worker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/dispatcher/dispatchertest"
	"github.com/muster/muster/ingress"
	"github.com/muster/muster/ingress/ingresstest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	logspb "github.com/muster/muster/proto/logs/v1"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/executortest"
	"github.com/muster/muster/worker/state"
)

// machine is one node that outlives its daemon, and a manager.
type machine struct {
	t       *testing.T
	fake    *executortest.Fake
	plane   *ingresstest.Plane
	network *dispatchertest.Network
	manager *dispatchertest.Manager
	path    string
	logs    Logs

	worker  *Worker // of the daemon that runs
	wg      sync.WaitGroup
	stop    func() // the daemon
	stopped func() // the manager
}

// on calls f inside a bubble with a node whose daemon runs.
func on(t *testing.T, f func(*machine)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker.db")
	synctest.Test(t, func(t *testing.T) {
		m := &machine{
			t: t, fake: executortest.New(), plane: ingresstest.New(), path: path,
			network: dispatchertest.NewNetwork(), manager: dispatchertest.NewManager(),
		}
		m.lead()
		m.start()
		defer func() {
			m.stop()
			m.stopped()
			m.wg.Wait()
		}()
		f(m)
	})
}

func (m *machine) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	m.wg.Go(func() {
		defer close(done)
		if err := f(ctx); err != nil {
			m.t.Error(err)
		}
	})
	return func() { cancel(); <-done }
}

func (m *machine) lead() {
	m.stopped = m.run(func(ctx context.Context) error { return m.network.Serve(ctx, "m1", m.manager.Register) })
}

func (m *machine) start() {
	m.stop = m.run(func(ctx context.Context) error {
		db, err := state.Open(m.path)
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		w, err := New(Config{
			NodeID: "n1", Executor: m.fake, State: db, Plane: m.plane, Log: slog.New(slog.DiscardHandler),
			Netns:    func(id string) string { return "/run/netns/" + id },
			Managers: []string{"m1"}, Dial: m.network.Dialer("n1"), Logs: m.logs,
			Describe: func(context.Context) (*clusterpb.NodeDescription, error) {
				return &clusterpb.NodeDescription{Hostname: "n1", DataAddr: "192.0.2.1"}, nil
			},
		})
		if err != nil {
			return err
		}
		m.plane.Applied, m.worker = w.Applied, w
		return w.Run(ctx)
	})
	m.settle()
}

// settle lets everything that takes no time happen.
func (m *machine) settle() { time.Sleep(50 * time.Millisecond); synctest.Wait() }

// web is a task of a service on port 8111.
func web(id string, desired clusterpb.TaskState) *clusterpb.Task {
	return &clusterpb.Task{
		Id: id, ServiceId: "web", NodeId: "n1", Desired: desired, DesiredIndex: 5,
		Addresses: []string{"10.0.0." + id[1:]},
		Ports:     []*clusterpb.Port{{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: 8111, Target: 80}},
		Spec:      &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "web"}}},
	}
}

// assign sends tasks, and a mesh of all those that should run plus one task
// elsewhere.
func (m *machine) assign(tasks ...*clusterpb.Task) uint64 {
	port := &dispatchpb.MeshPort{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: 8111, Endpoints: []*dispatchpb.MeshEndpoint{
		{TaskId: "r1", NodeId: "n2", Addresses: []string{"10.0.9.1"}, Target: 80},
	}}
	for _, t := range tasks {
		if t.GetDesired() == lifecycle.Running {
			port.Endpoints = append(port.Endpoints, &dispatchpb.MeshEndpoint{
				TaskId: t.GetId(), NodeId: "n1", Addresses: t.GetAddresses(), Target: 80,
			})
		}
	}
	assigned := make([]*dispatchpb.TaskAssignment, 0, len(tasks))
	for _, t := range tasks {
		assigned = append(assigned, &dispatchpb.TaskAssignment{Task: t})
	}
	i := m.manager.Assign("n1", &dispatchpb.Assignments{
		Tasks: assigned, Ports: []*dispatchpb.MeshPort{port},
		Peers:    []*dispatchpb.Peer{{Id: "n2", Index: 2, DataAddr: "192.0.2.2", Addresses: []string{"10.0.9.1"}}},
		Settings: &dispatchpb.Settings{SelfIndex: 1, Networks: []*dispatchpb.Network{{Id: "ingress", Subnets: []string{"10.0.0.0/16"}}}, Managers: []string{"m1"}},
	})
	m.settle()
	return i
}

// mesh returns the endpoints of port 8111 in the node's kernel.
func (m *machine) mesh() string {
	w := m.plane.Want()
	if w == nil {
		return "no mesh"
	}
	s := ""
	for _, p := range w.Ports {
		for _, e := range p.Endpoints {
			s += fmt.Sprint(e.Addr4.Addr(), " ")
		}
	}
	return s
}

func (m *machine) wantState(id string, want clusterpb.TaskState) {
	m.t.Helper()
	if got := m.manager.Status(id).GetState(); got != want {
		m.t.Errorf("task %s is reported %s, want %s", id, lifecycle.Name(got), lifecycle.Name(want))
	}
}

func (m *machine) wantMesh(want string) {
	m.t.Helper()
	if got := m.mesh(); got != want {
		m.t.Errorf("the mesh leads to %q, want %q", got, want)
	}
}

func TestTasksRunAndAreAcknowledged(t *testing.T) {
	on(t, func(m *machine) {
		index := m.assign(web("t1", lifecycle.Running), web("t2", lifecycle.Ready))
		m.wantState("t1", lifecycle.Running)
		m.wantState("t2", lifecycle.Ready)
		m.wantMesh("10.0.9.1 10.0.0.1 ")
		if got := m.manager.Acked("n1"); got != index {
			t.Errorf("acknowledged %d, want %d", got, index)
		}
		w := m.plane.Want()
		if len(w.Tasks) != 2 || w.Tasks[0].Netns != "/run/netns/t1" || len(w.Nodes) != 1 || w.Nodes[0].Tasks[0] != netip.MustParseAddr("10.0.9.1") ||
			w.Self.Index != 1 || w.Self.Underlay != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("want %+v", w)
		}
	})
}

// TestRestartAdopts restarts the daemon while no manager answers: nothing is
// restarted, and the mesh never has a gap.
func TestRestartAdopts(t *testing.T) {
	on(t, func(m *machine) {
		m.assign(web("t1", lifecycle.Running), web("t2", lifecycle.Running), web("t3", lifecycle.Running))
		m.wantMesh("10.0.9.1 10.0.0.1 10.0.0.2 10.0.0.3 ")
		m.stop()
		if !m.manager.SaidGoodbye("n1") {
			t.Error("no good-bye")
		}
		m.fake.End("t3", executor.Exit{Code: 5})
		m.stopped() // the manager is away too
		before := len(m.plane.Wants())
		m.start()
		for i, w := range m.plane.Wants()[before:] {
			if got := endpoints(w); got != "10.0.9.1 10.0.0.1 10.0.0.2 " && (i != 0 || got != "10.0.9.1 10.0.0.1 10.0.0.2 10.0.0.3 ") {
				t.Errorf("want %d after the restart leads to %q", i, got)
			}
		}
		time.Sleep(10 * time.Minute)
		if n := m.fake.Count("Start", ""); n != 3 {
			t.Errorf("%d starts, want 3", n)
		}
		m.lead()
		time.Sleep(5 * time.Second)
		m.wantState("t1", lifecycle.Running)
		m.wantState("t3", lifecycle.Failed)
		if s := m.manager.Status("t3"); s.GetErr() != "exit status 5" {
			t.Errorf("t3 ended as %v", s)
		}
		if n := m.fake.Count("Start", ""); n != 3 {
			t.Errorf("%d starts, want 3", n)
		}
	})
}

func endpoints(w *ingress.Want) string {
	s := ""
	for _, p := range w.Ports {
		for _, e := range p.Endpoints {
			s += fmt.Sprint(e.Addr4.Addr(), " ")
		}
	}
	return s
}

// TestManagersAway: tasks go on, what ends leaves the mesh, and is reported
// later.
func TestManagersAway(t *testing.T) {
	on(t, func(m *machine) {
		m.assign(web("t1", lifecycle.Running), web("t2", lifecycle.Running))
		m.network.Stall("n1")
		time.Sleep(time.Hour)
		if n := len(m.fake.Running()); n != 2 {
			t.Fatalf("%d tasks run, want 2", n)
		}
		m.fake.End("t2", executor.Exit{Code: 1})
		m.settle()
		m.wantMesh("10.0.9.1 10.0.0.1 ")
		m.wantState("t2", lifecycle.Running)
		m.network.Heal("n1")
		time.Sleep(10 * time.Second)
		m.wantState("t2", lifecycle.Failed)
		if n := m.fake.Count("Start", ""); n != 2 {
			t.Errorf("%d starts: the worker restarts nothing by itself", n)
		}
	})
}

func TestConnectedIsTold(t *testing.T) {
	on(t, func(m *machine) {
		connected := func() bool {
			select {
			case <-m.worker.Connected():
				return true
			default:
				return false
			}
		}
		m.stop()
		m.network.Stall("n1")
		m.start()
		if connected() {
			t.Error("connected while no manager answers")
		}
		m.network.Heal("n1")
		time.Sleep(time.Minute)
		if !connected() {
			t.Error("not connected to a manager that answers")
		}
	})
}

// TestEndIsReportedByTheNextLife: a task ends while no manager answers, and
// the daemon restarts before it could tell.
func TestEndIsReportedByTheNextLife(t *testing.T) {
	on(t, func(m *machine) {
		m.assign(web("t1", lifecycle.Running))
		m.stopped()
		time.Sleep(time.Second)
		m.fake.End("t1", executor.Exit{Code: 7})
		m.settle()
		m.stop()
		m.start()
		m.lead()
		time.Sleep(5 * time.Second)
		m.wantState("t1", lifecycle.Failed)
		if err := m.manager.Status("t1").GetErr(); err != "exit status 7" {
			t.Errorf("err %q, want exit status 7", err)
		}
	})
}

// TestPartitionHeals: meanwhile managers replaced one task, deleted another,
// and want a new one.
func TestPartitionHeals(t *testing.T) {
	on(t, func(m *machine) {
		m.assign(web("t1", lifecycle.Running), web("t2", lifecycle.Running), web("t3", lifecycle.Running))
		m.network.Stall("n1")
		time.Sleep(time.Minute)
		orphan := web("t3", lifecycle.Running)
		orphan.Status = &clusterpb.TaskStatus{State: lifecycle.Orphaned, At: timestamppb.Now()}
		m.assign(web("t1", lifecycle.Remove), orphan, web("t4", lifecycle.Running))
		m.network.Heal("n1")
		m.manager.RaiseLowWaterMark(1000)
		time.Sleep(30 * time.Second)
		m.wantState("t1", lifecycle.Shutdown)
		m.wantState("t4", lifecycle.Running)
		if running := m.fake.Running(); len(running) != 1 || running[0] != "t4" {
			t.Errorf("%v run, want t4 alone", running)
		}
		if m.fake.Count("Remove", "t2") != 1 || m.manager.Status("t2").GetState() != lifecycle.Running {
			t.Error("t2 should be removed without a report")
		}
		m.wantMesh("10.0.9.1 10.0.0.4 ")
	})
}

// TestDrain: a task that should stop leaves this node's mesh at once, waits
// for all nodes to say the same, then for its connections.
func TestDrain(t *testing.T) {
	on(t, func(m *machine) {
		m.assign(web("t1", lifecycle.Running))
		addr := netip.MustParseAddr("10.0.0.1")
		m.plane.SetConnections(addr, 1)
		stop := web("t1", lifecycle.Shutdown)
		stop.DesiredIndex = 500
		m.assign(stop)
		m.wantMesh("10.0.9.1 ")
		if len(m.plane.Want().Tasks) != 1 {
			t.Error("a draining task lost its network")
		}
		time.Sleep(time.Second)
		m.manager.RaiseLowWaterMark(499)
		m.plane.SetConnections(addr, 0)
		time.Sleep(time.Second)
		if m.fake.Count("Signal", "t1") != 0 {
			t.Fatal("signalled before every node's mesh let go")
		}
		m.plane.SetConnections(addr, 1)
		m.manager.RaiseLowWaterMark(500)
		time.Sleep(time.Second)
		if m.fake.Count("Signal", "t1") != 0 {
			t.Fatal("signalled with a connection open")
		}
		m.plane.SetConnections(addr, 0)
		time.Sleep(150 * time.Millisecond) // well before the bound of 5 s for the mesh
		m.wantState("t1", lifecycle.Shutdown)
		if len(m.plane.Want().Tasks) != 0 {
			t.Error("a stopped task still has a network")
		}
	})
}

// TestImageSourcesReachTheExecutor: a task is prepared with what managers said
// of its image.
func TestImageSourcesReachTheExecutor(t *testing.T) {
	on(t, func(m *machine) {
		source := &dispatchpb.ImageSource{Image: "web", Digest: "sha256:1", Addrs: []string{"n2:2377"}}
		m.manager.Assign("n1", &dispatchpb.Assignments{
			Tasks:    []*dispatchpb.TaskAssignment{{Task: web("t1", lifecycle.Running), Sources: []*dispatchpb.ImageSource{source}}},
			Settings: &dispatchpb.Settings{SelfIndex: 1, Managers: []string{"m1"}},
		})
		m.settle()
		if got := m.fake.Sources("t1"); len(got) != 1 || !proto.Equal(got[0], source) {
			t.Errorf("prepared with sources %v, want %v", got, source)
		}
	})
}

func TestSilentManagerIsLeft(t *testing.T) {
	on(t, func(m *machine) {
		second := dispatchertest.NewManager()
		stop := m.run(func(ctx context.Context) error { return m.network.Serve(ctx, "m2", second.Register) })
		defer stop()
		m.manager.Assign("n1", &dispatchpb.Assignments{Settings: &dispatchpb.Settings{SelfIndex: 1, Managers: []string{"m2"}}})
		m.settle()
		m.manager.Silence(true)
		time.Sleep(4 * time.Second) // three periods, and the beat that notices
		for range 100 {
			if second.Connected("n1") {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error("the worker stays with a manager that does not answer")
	})
}

func TestUnknownContainersAreRemoved(t *testing.T) {
	on(t, func(m *machine) {
		m.stop()
		for _, id := range []string{"t8", "t9"} {
			if err := m.fake.Prepare(t.Context(), executor.Request{Task: web(id, lifecycle.Running)}, func(string) {}); err != nil {
				t.Fatal(err)
			}
			if _, err := m.fake.Start(t.Context(), web(id, lifecycle.Running)); err != nil {
				t.Fatal(err)
			}
		}
		// The node lost its memory; managers know only one of the two.
		m.path += "2"
		t8 := web("t8", lifecycle.Running)
		t8.Status = &clusterpb.TaskStatus{State: lifecycle.Running}
		m.assign(t8)
		m.start()
		time.Sleep(time.Second)
		if running := m.fake.Running(); len(running) != 1 || running[0] != "t8" {
			t.Errorf("%v run, want t8 adopted and t9 removed", running)
		}
		if n := m.fake.Count("Start", "t8"); n != 1 {
			t.Errorf("t8 was started %d times", n)
		}
		m.wantMesh("10.0.9.1 10.0.0.8 ")
	})
}

// logsFunc implements Logs.
type logsFunc func(ctx context.Context, taskID string, opts *logspb.LogOptions, f func(*logspb.LogMessage) error) error

func (f logsFunc) Read(ctx context.Context, taskID string, opts *logspb.LogOptions, emit func(*logspb.LogMessage) error) error {
	return f(ctx, taskID, opts, emit)
}

func TestLogsArePublished(t *testing.T) {
	on(t, func(m *machine) {
		m.stop()
		m.logs = logsFunc(func(ctx context.Context, taskID string, opts *logspb.LogOptions, f func(*logspb.LogMessage) error) error {
			if taskID == "t2" {
				return fmt.Errorf("no logs of it")
			}
			for i := range 3 {
				if err := f(&logspb.LogMessage{TaskId: taskID, Data: fmt.Append(nil, i, opts.GetTail())}); err != nil {
					return err
				}
			}
			if opts.GetFollow() {
				<-ctx.Done()
			}
			return nil
		})
		m.start()
		if err := m.manager.AskLogs("n1", &dispatchpb.LogSubscription{Id: "s", TaskIds: []string{"t1", "t2"}, Options: &logspb.LogOptions{Tail: 7}}); err != nil {
			t.Fatal(err)
		}
		m.settle()
		lines, failed := 0, ""
		for _, p := range m.manager.Published() {
			if p.GetSubscriptionId() != "s" {
				t.Errorf("subscription %q", p.GetSubscriptionId())
			}
			lines += len(p.GetMessages())
			failed += p.GetErr()
		}
		if lines != 3 || failed != "task t2: no logs of it" {
			t.Errorf("%d lines and error %q", lines, failed)
		}
		// A subscription that is followed ends when it is closed.
		for _, sub := range []*dispatchpb.LogSubscription{{Id: "f", TaskIds: []string{"t1"}, Options: &logspb.LogOptions{Follow: true}}, {Id: "f", Close: true}} {
			if err := m.manager.AskLogs("n1", sub); err != nil {
				t.Fatal(err)
			}
			m.settle()
		}
	})
}
