package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/muster/muster/integration/cluster"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
	"github.com/muster/muster/proto/pod"
)

// TestModel does whatever users and machines may do, at random, beside a model
// of what services there should be. The harness checks every state on the way;
// at the end, once all machines are well, the cluster must be what the model
// says. MUSTER_TEST_STEPS makes it longer, MUSTER_TEST_SEED repeats a run.
func TestModel(t *testing.T) {
	steps := 60
	if n, err := strconv.Atoi(os.Getenv("MUSTER_TEST_STEPS")); err == nil {
		steps = n
	}
	for _, seed := range seeds(t, 5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			cluster.Run(t, cluster.Config{Managers: 3, Workers: 4, Mixed: true, Seed: seed}, func(ctx context.Context, c *cluster.Cluster) {
				for _, image := range []string{"v1", "v2", "v3"} {
					c.Script(image, slow())
				}
				m := &model{Cluster: c, t: t, ctx: ctx, r: random(seed, 1), services: make(map[string]want)}
				for range steps {
					m.step()
					if t.Failed() {
						return
					}
				}
				m.converge()
			})
		})
	}
}

// model is what the cluster should be.
type model struct {
	*cluster.Cluster
	t   *testing.T
	ctx context.Context
	r   *rand.Rand

	services map[string]want
	// ill is a manager that is down or cut off: never more than one of three.
	ill *cluster.Node
}

// want is what a service should be.
type want struct {
	replicas uint32
	image    string
	port     uint32 // 0 is none
}

// step does one thing.
func (m *model) step() {
	m.t.Helper()
	things := []func() string{
		m.create, m.create, m.scale, m.scale, m.update, m.update, m.remove, m.restart,
		m.drain, m.activate, m.activate, m.crash, m.powerOff, m.isolate, m.repair, m.repair, m.repair,
		m.leaderAway, m.leaderAway, m.endTask,
	}
	what := things[m.r.IntN(len(things))]()
	if what != "" {
		m.t.Logf("%v %s", time.Now().Format("15:04:05.000"), what)
	}
	time.Sleep(time.Duration(m.r.ExpFloat64() * float64(time.Second)))
}

// name returns the name of a service that may or may not exist.
func (m *model) name() string { return fmt.Sprintf("s%d", m.r.IntN(5)) }

// accept fails the test when err is not of an expected kind.
func (m *model) accept(what string, err error, kinds ...func(error) bool) bool {
	m.t.Helper()
	if err != nil && !slices.ContainsFunc(kinds, func(is func(error) bool) bool { return is(err) }) {
		m.t.Errorf("%s: %v", what, err)
	}
	return err == nil
}

func (m *model) create() string {
	name, w := m.name(), want{replicas: uint32(m.r.IntN(7)), image: "v1"}
	order := clusterpb.UpdateConfig_Order(m.r.IntN(3))
	if m.r.IntN(2) == 0 {
		w.port = uint32(8000 + m.r.IntN(4))
	}
	resp, err := services(m.Control()).CreateService(m.ctx, &controlpb.CreateServiceRequest{Spec: cluster.Spec(name, w.replicas, func(s *clusterpb.ServiceSpec) {
		s.Update = &clusterpb.UpdateConfig{Order: order, Monitor: seconds(float64(m.r.IntN(2))), FailureAction: clusterpb.UpdateConfig_FAILURE_ACTION_CONTINUE}
		if w.port != 0 {
			published(w.port)(s)
		}
		pod.Main(s.Task).DrainTimeout = seconds(1)
		s.Task.Restart = &clusterpb.RestartPolicy{Delay: seconds(1)}
	})})
	what := fmt.Sprintf("create %s %+v %s", name, w, order)
	ok := m.accept(what, err, errdefs.IsAlreadyExists)
	if _, exists := m.services[name]; exists && ok {
		m.t.Errorf("created %s (%s) twice", name, resp.GetService().GetId())
	}
	if ok {
		m.services[name] = w
	}
	return what
}

func (m *model) scale() string {
	name, n := m.name(), uint32(m.r.IntN(7))
	what := fmt.Sprintf("scale %s to %d", name, n)
	_, err := services(m.Control()).ScaleService(m.ctx, &controlpb.ScaleServiceRequest{Service: name, Replicas: n})
	m.changed(what, name, err, func(w *want) { w.replicas = n })
	return what
}

func (m *model) update() string {
	name, image := m.name(), fmt.Sprintf("v%d", 1+m.r.IntN(3))
	what := fmt.Sprintf("update %s to %s", name, image)
	get, err := services(m.Control()).GetService(m.ctx, &controlpb.GetServiceRequest{Service: name})
	if err == nil {
		next := get.GetService().GetSpec()
		pod.Main(next.Task).Image = image
		_, err = services(m.Control()).UpdateService(m.ctx, &controlpb.UpdateServiceRequest{Service: name, Spec: next, Version: get.GetService().GetVersion()})
	}
	m.changed(what, name, err, func(w *want) { w.image = image })
	return what
}

func (m *model) remove() string {
	name := m.name()
	what := "remove " + name
	_, err := services(m.Control()).RemoveService(m.ctx, &controlpb.RemoveServiceRequest{Service: name})
	m.changed(what, name, err, func(*want) {})
	delete(m.services, name)
	return what
}

func (m *model) restart() string {
	name := m.name()
	what := "restart " + name
	_, err := services(m.Control()).ControlRollout(m.ctx, &controlpb.ControlRolloutRequest{Service: name, Action: controlpb.ControlRolloutRequest_ACTION_RESTART})
	m.changed(what, name, err, func(*want) {})
	return what
}

// changed notes a change, which only a service that is missing may refuse.
func (m *model) changed(what, name string, err error, edit func(*want)) {
	m.t.Helper()
	w, exists := m.services[name]
	if !exists {
		if !errdefs.IsNotFound(err) {
			m.t.Errorf("%s, which is not there: %v", what, err)
		}
		return
	}
	if m.accept(what, err) {
		edit(&w)
		m.services[name] = w
	}
}

// node returns any node, or any worker.
func (m *model) node(prefix string) *cluster.Node {
	var all []*cluster.Node
	for _, n := range m.Nodes {
		if n.Name[0] == prefix[0] {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *cluster.Node) int { return int(a.Name[1]) - int(b.Name[1]) })
	return all[m.r.IntN(len(all))]
}

func (m *model) drain() string {
	n := m.node("w")
	availability(m.ctx, m.t, m.Cluster, n.Name, clusterpb.NodeSpec_AVAILABILITY_DRAIN)
	return "drain " + n.Name
}

func (m *model) activate() string {
	n := m.node("w")
	availability(m.ctx, m.t, m.Cluster, n.Name, clusterpb.NodeSpec_AVAILABILITY_ACTIVE)
	return "activate " + n.Name
}

func (m *model) crash() string {
	n := m.node("w")
	m.Crash(n)
	return "crash " + n.Name
}

func (m *model) powerOff() string {
	n := m.node("w")
	m.PowerOff(n)
	return "power off " + n.Name
}

func (m *model) isolate() string {
	n := m.node("w")
	m.Isolate(n)
	return "isolate " + n.Name
}

// repair makes a worker, or the manager that is ill, well again.
func (m *model) repair() string {
	n := m.node("w")
	if m.ill != nil && m.r.IntN(2) == 0 {
		n, m.ill = m.ill, nil
	}
	m.Restart(n)
	return "repair " + n.Name
}

// leaderAway does something to the leader, or to another manager.
func (m *model) leaderAway() string {
	if m.ill != nil {
		m.Restart(m.ill)
		m.ill = nil
	}
	n := m.Leader()
	if m.r.IntN(4) == 0 {
		n = m.node("m")
	}
	switch m.r.IntN(4) {
	case 0:
		m.TransferLeadership(m.ctx)
		return "transfer leadership"
	case 1:
		m.StopGracefully(n)
		m.Restart(n)
		return "restart the daemon of " + n.Name
	case 2:
		m.ill = n
		m.Crash(n)
		return "crash " + n.Name
	default:
		m.ill = n
		m.Isolate(n)
		return "isolate " + n.Name
	}
}

// endTask makes a process end as by a bug of its own.
func (m *model) endTask() string {
	n := m.node("w")
	running := n.Runtime.Running()
	if len(running) == 0 {
		return ""
	}
	id := running[m.r.IntN(len(running))]
	n.Runtime.End(id, exit(int32(m.r.IntN(2))))
	return fmt.Sprintf("end task %s on %s", id, n.Name)
}

// converge makes every machine well and compares.
func (m *model) converge() {
	m.t.Helper()
	for _, n := range m.Nodes {
		m.Restart(n)
		if n.Name[0] == 'w' {
			availability(m.ctx, m.t, m.Cluster, n.Name, clusterpb.NodeSpec_AVAILABILITY_ACTIVE)
		}
	}
	var diff string
	m.Within(30*time.Minute, "the cluster to be what it should be", func() bool {
		diff = cmp.Diff(m.services, m.seen(), cmp.AllowUnexported(want{}))
		if diff != "" {
			time.Sleep(5 * time.Second)
		}
		return diff == ""
	})
	time.Sleep(time.Minute)
	if diff := cmp.Diff(m.services, m.seen(), cmp.AllowUnexported(want{})); diff != "" {
		m.t.Errorf("services after rest (-want +got):\n%s", diff)
	}
	m.compareNodes()
}

// seen returns the services of which all tasks serve.
func (m *model) seen() map[string]want {
	s, seen := m.State(), make(map[string]want)
	for svc := range s.Services() {
		w := want{image: pod.Main(svc.GetSpec().GetTask()).GetImage()}
		for _, p := range svc.GetPorts() {
			w.port = p.GetPublished()
		}
		for t := range s.TasksOf(svc.GetId()) {
			switch {
			case lifecycle.Serving(t) && pod.Main(t.GetSpec()).GetImage() == w.image:
				w.replicas++
			case !lifecycle.Ended(t.GetStatus().GetState()):
				w.replicas += 1000 // one that should not be there
			}
		}
		if st := svc.GetUpdate().GetState(); st != 0 && st != completed {
			w.image += " in " + st.String()
		}
		seen[svc.GetSpec().GetName()] = w
	}
	return seen
}

// compareNodes holds containers and meshes against the tasks that serve.
func (m *model) compareNodes() {
	m.t.Helper()
	s := m.State()
	for _, n := range m.Nodes {
		var serving []string
		for t := range s.TasksOn(n.ID) {
			if lifecycle.Serving(t) {
				serving = append(serving, t.GetId())
			}
		}
		slices.Sort(serving)
		if running := n.Runtime.Running(); !slices.Equal(serving, running) {
			m.t.Errorf("%s should run %v and runs %v", n.Name, serving, running)
		}
		for t := range s.Tasks() {
			if len(t.GetPorts()) == 0 || len(network.Answering(t.GetAttachments())) == 0 {
				continue
			}
			if leads := n.Kernel.LeadsTo(netip.MustParseAddr(network.Answering(t.GetAttachments())[0])); lifecycle.Serving(t) && !leads {
				m.t.Errorf("the mesh of %s does not lead to %s", n.Name, cluster.Line(t))
			}
		}
	}
}
