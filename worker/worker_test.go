package worker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/dispatcher/dispatchertest"
	"github.com/muster/muster/ingress"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/worker/executor"
)

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
		if len(w.Tasks) != 2 || w.Tasks[0].ID != "t1" || len(w.Nodes) != 1 || w.Nodes[0].Attachments[0].Addrs[0] != netip.MustParseAddr("10.0.9.1") ||
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

// TestRoutingIsTold: that the kernel holds what the node remembers is not
// enough.
func TestRoutingIsTold(t *testing.T) {
	on(t, func(m *machine) {
		routing := func() bool {
			select {
			case <-m.worker.Routing():
				return true
			default:
				return false
			}
		}
		m.assign(web("t1", lifecycle.Running))
		m.stop()
		m.network.Stall("n1")
		m.start()
		if routing() {
			t.Error("it routes while no manager answers")
		}
		m.network.Heal("n1")
		time.Sleep(time.Minute)
		if !routing() {
			t.Error("it does not route as a manager says")
		}
	})
}

// What was acknowledged to one manager says nothing to the next.
func TestNextManagerIsToldWhatTheKernelHolds(t *testing.T) {
	on(t, func(m *machine) {
		m.assign(web("t1", lifecycle.Running))
		m.stopped()
		m.manager = dispatchertest.NewManager()
		index := m.assign(web("t1", lifecycle.Running))
		m.lead()
		time.Sleep(10 * time.Second)
		if got := m.manager.Acked("n1"); got != index {
			t.Errorf("acknowledged %d, want %d", got, index)
		}
		m.wantState("t1", lifecycle.Running)
		if n := m.fake.Count("Start", ""); n != 1 {
			t.Errorf("%d starts, want one", n)
		}
	})
}

// The rest of the daemon lives on what was heard last, also after a restart
// while no manager answers.
func TestSettingsAndPeersArePassedOn(t *testing.T) {
	on(t, func(m *machine) {
		var heard []string
		m.adjust = func(c *Config) {
			c.Heard = func(s *dispatchpb.Settings, peers []*dispatchpb.Peer) {
				text := fmt.Sprint(s.GetSelfIndex())
				for _, p := range peers {
					text += " " + p.GetId()
				}
				heard = append(heard, text)
			}
		}
		restart := func() { m.stop(); heard = nil; m.start() }
		m.stopped()
		m.path += "2" // of a node that has never heard of a manager
		restart()
		if len(heard) > 0 {
			t.Errorf("before any manager spoke: heard %q", heard)
		}
		m.lead()
		m.assign()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(heard) == 0 || heard[len(heard)-1] != "1 n2" {
			t.Errorf("when one spoke: heard %q, want 1 n2", heard)
		}
		m.stopped()
		restart()
		if !slices.Equal(heard, []string{"1 n2"}) {
			t.Errorf("after a restart without a manager: heard %q, want 1 n2", heard)
		}
		m.lead()
	})
}

// Two tasks that start at the same time must not choose one port of the node,
// although neither has reported its choice.
func TestTasksThatStartTogetherChooseDifferentHostPorts(t *testing.T) {
	on(t, func(m *machine) {
		var tasks []*clusterpb.Task
		for i := range 5 {
			task := web(fmt.Sprint("t", i+1), lifecycle.Running)
			task.Ports = []*clusterpb.Port{{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80, Mode: clusterpb.Port_MODE_HOST}}
			tasks = append(tasks, task)
		}
		m.assign(tasks...)
		taken := make(map[uint32]string)
		for _, task := range tasks {
			ports := m.manager.Status(task.GetId()).GetHostPorts()
			if len(ports) != 1 || ports[0].GetPublished() == 0 || taken[ports[0].GetPublished()] != "" {
				t.Errorf("%s has %v, others %v", task.GetId(), ports, taken)
				continue
			}
			taken[ports[0].GetPublished()] = task.GetId()
		}
	})
}

func TestTaskWhoseHostPortIsTakenIsNotStarted(t *testing.T) {
	on(t, func(m *machine) {
		fixed := []*clusterpb.Port{{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: 9000, Target: 80, Mode: clusterpb.Port_MODE_HOST}}
		first, second := web("t1", lifecycle.Running), web("t2", lifecycle.Running)
		first.Ports, second.Ports = fixed, fixed
		m.assign(first)
		m.assign(first, second)
		m.wantState("t1", lifecycle.Running)
		if s := m.manager.Status("t2"); !lifecycle.Ended(s.GetState()) || !strings.Contains(s.GetErr(), "host port 9000 is taken on this node by task t1") {
			t.Errorf("the second is reported as %v", s)
		}
		first.Desired = lifecycle.Shutdown // then the port is free
		m.assign(first)
		m.manager.RaiseLowWaterMark(1000)
		time.Sleep(10 * time.Second)
		third := web("t3", lifecycle.Running)
		third.Ports = fixed
		m.assign(first, third)
		m.wantState("t3", lifecycle.Running)
	})
}

func TestManagersToTry(t *testing.T) {
	w := &Worker{cfg: Config{Managers: []string{"a:1", "b:1"}}, held: &held{}}
	if got := w.managers(); !slices.Equal(got, []string{"a:1", "b:1"}) {
		t.Errorf("before the first contact %v", got)
	}
	w.held = &held{settings: &dispatchpb.Settings{Managers: []string{"c:1", "b:1"}}}
	if got := w.managers(); !slices.Equal(got, []string{"c:1", "b:1", "a:1"}) {
		t.Errorf("once told %v, want those of the cluster first and none twice", got)
	}
}

func TestNodeThatCannotDescribeItselfDoesNotRun(t *testing.T) {
	w := &Worker{cfg: Config{Describe: func(context.Context) (*clusterpb.NodeDescription, error) {
		return nil, errors.New("no address")
	}}}
	if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no address") {
		t.Errorf("error %v", err)
	}
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

// TestNothingIsForgottenThatWasNotRemembered: assignments that could not be
// written to disk are heard again, and what they took away still goes.
func TestNothingIsForgottenThatWasNotRemembered(t *testing.T) {
	on(t, func(m *machine) {
		m.assign(web("t1", lifecycle.Running), web("t2", lifecycle.Running))
		// Nothing is kept under no name: this takes t1 away and cannot be written.
		m.manager.Assign("n1", &dispatchpb.Assignments{
			Tasks: []*dispatchpb.TaskAssignment{{Task: web("t2", lifecycle.Running)}}, Peers: []*dispatchpb.Peer{{}},
			Settings: &dispatchpb.Settings{SelfIndex: 1},
		})
		m.settle()
		m.assign(web("t2", lifecycle.Running))
		time.Sleep(time.Minute)
		if got := m.fake.Running(); !slices.Equal(got, []string{"t2"}) {
			t.Errorf("%v run, want t2 alone", got)
		}
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
