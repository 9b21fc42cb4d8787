package cluster

import (
	"slices"
	"strings"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/worker/executor/executortest"
)

const (
	// patience is how long Eventually waits, and glance how often it looks.
	patience = 5 * time.Minute
	glance   = 5 * time.Millisecond
)

// Eventually fails the test unless ok becomes true within five fake minutes.
func (c *Cluster) Eventually(what string, ok func() bool) {
	c.t.Helper()
	c.Within(patience, what, ok)
}

// Within is Eventually with a time of its own. It returns how long it took.
func (c *Cluster) Within(limit time.Duration, what string, ok func() bool) time.Duration {
	c.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			c.t.Fatalf("waited %v for %s:\n%s", limit, what, c.describe())
		}
		time.Sleep(glance)
	}
	return time.Since(start)
}

// describe tells what the managers know, for failures.
func (c *Cluster) describe() string {
	var b strings.Builder
	s := c.State()
	for n := range s.Nodes() {
		b.WriteString("node " + n.GetId() + " " + n.GetStatus().GetState().String() + " " + n.GetSpec().GetAvailability().String() + "\n")
	}
	for svc := range s.Services() {
		b.WriteString("service " + svc.GetSpec().GetName() + " update " + svc.GetUpdate().String() + "\n")
	}
	for t := range s.Tasks() {
		b.WriteString(Line(t) + "\n")
	}
	return b.String()
}

// Leader waits for a manager that a majority obeys.
func (c *Cluster) Leader() (leader *Node) {
	c.t.Helper()
	c.Eventually("a leader", func() bool {
		leader = c.leads()
		return leader != nil
	})
	return leader
}

func (c *Cluster) leads() *Node {
	for _, n := range c.Nodes {
		if s := n.store(); s != nil && s.IsLeader() && s.VerifyLeader(c.t.Context()) == nil {
			return n
		}
	}
	return nil
}

// Others returns the managers but one.
func (c *Cluster) Others(n *Node) (others []*Node) {
	for _, o := range c.Nodes {
		if o != n && o.manages() {
			others = append(others, o)
		}
	}
	slices.SortFunc(others, func(a, b *Node) int { return strings.Compare(a.Name, b.Name) })
	return others
}

// Managers returns all managers.
func (c *Cluster) Managers() []*Node { return c.Others(nil) }

// State returns the newest state that a manager which is up holds.
func (c *Cluster) State() (newest *state.State) {
	for _, n := range c.Nodes {
		if s := c.StateOn(n); s != nil && (newest == nil || s.Index >= newest.Index) {
			newest = s
		}
	}
	if newest == nil {
		newest = state.NewState()
	}
	return newest
}

// StateOn returns the state that one manager holds, or nil when it is down.
func (c *Cluster) StateOn(n *Node) *state.State {
	if s := n.store(); s != nil {
		return s.State()
	}
	return nil
}

// Service returns a service by name, or nil.
func (c *Cluster) Service(name string) *clusterpb.Service {
	svc, _ := c.State().ServiceByName(name)
	return svc
}

// Tasks returns the tasks of a service, by slot and age.
func (c *Cluster) Tasks(service string) []*clusterpb.Task {
	s := c.State()
	svc, ok := s.ServiceByName(service)
	if !ok {
		return nil
	}
	return slices.SortedFunc(s.TasksOf(svc.GetId()), func(a, b *clusterpb.Task) int {
		if a.GetSlot() != b.GetSlot() {
			return int(a.GetSlot()) - int(b.GetSlot())
		}
		return a.GetCreatedAt().AsTime().Compare(b.GetCreatedAt().AsTime())
	})
}

// Serving returns those of a service's tasks that take connections.
func (c *Cluster) Serving(service string) (tasks []*clusterpb.Task) {
	for _, t := range c.Tasks(service) {
		if lifecycle.Serving(t) {
			tasks = append(tasks, t)
		}
	}
	return tasks
}

// Line describes a task in one line.
func Line(t *clusterpb.Task) string {
	parts := []string{
		"task", t.GetId()[:min(8, len(t.GetId()))], t.GetServiceName() + "." + string(rune('0'+t.GetSlot()%10)), "on", t.GetNodeId(),
		pod.Main(t.GetSpec()).GetImage(), lifecycle.Name(t.GetStatus().GetState()), "wanted", lifecycle.Name(t.GetDesired()),
		t.GetDesiredReason(), t.GetStatus().GetErr(),
	}
	return strings.Join(parts, " ")
}

// CreateService creates a service and returns it. It may use any port and
// image; edit changes the spec before.
func (c *Cluster) CreateService(name string, replicas uint32, edit ...func(*clusterpb.ServiceSpec)) *clusterpb.Service {
	c.t.Helper()
	resp, err := controlpb.NewServiceServiceClient(c.Control()).CreateService(c.t.Context(), &controlpb.CreateServiceRequest{Spec: Spec(name, replicas, edit...)})
	c.must(err)
	return resp.GetService()
}

// Spec returns the spec of a service of image v1.
func Spec(name string, replicas uint32, edit ...func(*clusterpb.ServiceSpec)) *clusterpb.ServiceSpec {
	s := &clusterpb.ServiceSpec{
		Name: name,
		Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "v1"}}},
		Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: replicas}},
	}
	for _, f := range edit {
		f(s)
	}
	return s
}

// UpdateService changes the spec of a service.
func (c *Cluster) UpdateService(name string, edit func(*clusterpb.ServiceSpec)) {
	c.t.Helper()
	services := controlpb.NewServiceServiceClient(c.Control())
	get, err := services.GetService(c.t.Context(), &controlpb.GetServiceRequest{Service: name})
	c.must(err)
	next := get.GetService().GetSpec()
	edit(next)
	_, err = services.UpdateService(c.t.Context(), &controlpb.UpdateServiceRequest{
		Service: name, Version: get.GetService().GetVersion(), Spec: next,
	})
	c.must(err)
}

// Script says on every node what tasks of an image do.
func (c *Cluster) Script(image string, b executortest.Behaviour) {
	for _, n := range c.Nodes {
		n.Runtime.Script(image, b)
	}
}
