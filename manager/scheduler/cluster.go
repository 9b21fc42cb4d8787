package scheduler

import (
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// failureWindow is how long a failure speaks against a node, and failureLimit
// how many it takes: Swarm's figures. Failures are counted in the history that
// the reaper leaves, so a shorter history lowers the limit.
const (
	failureWindow = 5 * time.Minute
	failureLimit  = 5
)

// cluster is what placements are decided on. It is made anew for each pass.
type cluster struct {
	hosts        []*host
	byID         map[string]*host
	failureLimit int
	task         func(id string) (*clusterpb.Task, bool)
}

// host is a node and what its tasks hold.
type host struct {
	node   *clusterpb.Node
	cpus   int64            // not reserved
	memory int64            // not reserved
	tasks  int              // wanted
	ports  map[port.Key]int // how many hold each: tasks, two only while one waits for the other, and the cluster itself
}

// survey looks at every node and task once.
func survey(s *state.State, groups []*group, now time.Time) *cluster {
	c := &cluster{byID: make(map[string]*host), task: s.Task, failureLimit: failureLimit}
	if kept := int(spec.HistoryLimit(s.Cluster().GetSpec())); kept > 0 {
		c.failureLimit = max(1, min(c.failureLimit, kept-1))
	}
	for n := range s.Nodes() {
		h := &host{
			node:   n,
			cpus:   n.GetDescription().GetResources().GetNanoCpus(),
			memory: n.GetDescription().GetResources().GetMemoryBytes(),
			ports:  make(map[port.Key]int),
		}
		for _, own := range port.OfNode(n) {
			h.ports[own]++
		}
		c.hosts = append(c.hosts, h)
		c.byID[n.GetId()] = h
	}
	byService := make(map[string][]*group) // the groups of one share copies
	for _, g := range groups {
		byService[g.service] = append(byService[g.service], g)
	}
	for t := range s.Tasks() {
		if h := c.byID[t.GetNodeId()]; h != nil {
			c.count(t, h, byService[t.GetServiceId()], now)
		}
	}
	return c
}

// count adds a task to what its node and the groups of its service know.
func (c *cluster) count(t *clusterpb.Task, h *host, groups []*group, now time.Time) {
	observed := t.GetStatus().GetState()
	if !lifecycle.Ended(observed) {
		h.hold(t)
		if t.GetDesired() <= lifecycle.Running {
			h.tasks++
			if len(groups) > 0 {
				groups[0].copies[h]++
			}
		}
		return
	}
	if !lifecycle.IsFailure(observed) || lifecycle.Asked(t) ||
		now.Sub(t.GetStatus().GetAppliedAt().AsTime()) > failureWindow {
		return
	}
	for _, g := range groups {
		if g.version == t.GetSpecVersion() {
			g.failures[h]++
		}
	}
}

// hold takes what the task reserves for as long as it may be running.
func (h *host) hold(t *clusterpb.Task) {
	h.cpus -= t.GetSpec().GetReservations().GetNanoCpus()
	h.memory -= t.GetSpec().GetReservations().GetMemoryBytes()
	for _, p := range t.GetPorts() {
		if port.IsFixedOnHost(p) {
			h.ports[port.Of(p)]++
		}
	}
}

// take is hold for a task that is placed here now.
func (h *host) take(t *clusterpb.Task) {
	h.hold(t)
	h.tasks++
}

// release is the opposite of hold.
func (h *host) release(t *clusterpb.Task) {
	h.cpus += t.GetSpec().GetReservations().GetNanoCpus()
	h.memory += t.GetSpec().GetReservations().GetMemoryBytes()
	for _, p := range t.GetPorts() {
		if port.IsFixedOnHost(p) {
			h.ports[port.Of(p)]--
		}
	}
}
