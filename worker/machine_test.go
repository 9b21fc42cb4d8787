package worker

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster/muster/dispatcher/dispatchertest"
	"github.com/muster/muster/ingress/ingresstest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
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
	adjust  func(*Config) // of the daemon to start, or nil

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
		cfg := Config{
			NodeID: "n1", Executor: m.fake, State: db, Plane: m.plane, Log: slog.New(slog.DiscardHandler),
			Managers: []string{"m1"}, Dial: m.network.Dialer("n1"), Logs: m.logs,
			Describe: func(context.Context) (*clusterpb.NodeDescription, error) {
				return &clusterpb.NodeDescription{Hostname: "n1", DataAddr: "192.0.2.1"}, nil
			},
		}
		if m.adjust != nil {
			m.adjust(&cfg)
		}
		w, err := New(cfg)
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

func attached(addr string) []*clusterpb.Attachment {
	return []*clusterpb.Attachment{{NetworkId: network.Ingress, Addresses: []string{addr}}}
}

// web is a task of a service on port 8111.
func web(id string, desired clusterpb.TaskState) *clusterpb.Task {
	return &clusterpb.Task{
		Id: id, ServiceId: "web", NodeId: "n1", Desired: desired, DesiredIndex: 5,
		Attachments: attached("10.0.0." + id[1:]),
		Ports:       []*clusterpb.Port{{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: 8111, Target: 80}},
		Spec:        &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "web"}}},
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
				TaskId: t.GetId(), NodeId: "n1", Addresses: network.Answering(t.GetAttachments()), Target: 80,
			})
		}
	}
	assigned := make([]*dispatchpb.TaskAssignment, 0, len(tasks))
	for _, t := range tasks {
		assigned = append(assigned, &dispatchpb.TaskAssignment{Task: t})
	}
	i := m.manager.Assign("n1", &dispatchpb.Assignments{
		Tasks: assigned, Ports: []*dispatchpb.MeshPort{port},
		Peers:    []*dispatchpb.Peer{{Id: "n2", Index: 2, DataAddr: "192.0.2.2", Attachments: attached("10.0.9.1")}},
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
