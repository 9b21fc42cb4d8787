package scheduler

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/muster/muster/manager/allocator/ipam"
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
	pool         *ipam.Pool
	failureLimit int
	task         func(id string) (*clusterpb.Task, bool)
}

// host is a node and what its tasks hold.
type host struct {
	node   *clusterpb.Node
	cpus   int64 // not reserved
	memory int64 // not reserved
	tasks  int   // wanted
	ports  map[port.Key]bool
}

// survey looks at every node and task once.
func survey(s *state.State, groups []*group, now time.Time) (*cluster, error) {
	c := &cluster{byID: make(map[string]*host), task: s.Task, failureLimit: failureLimit}
	if kept := int(spec.HistoryLimit(s.Cluster().GetSpec())); kept > 0 {
		c.failureLimit = max(1, min(c.failureLimit, kept-1))
	}
	var err error
	if c.pool, err = newPool(s); err != nil {
		return nil, fmt.Errorf("task addresses: %w", err)
	}
	for n := range s.Nodes() {
		h := &host{
			node:   n,
			cpus:   n.GetDescription().GetResources().GetNanoCpus(),
			memory: n.GetDescription().GetResources().GetMemoryBytes(),
		}
		c.hosts = append(c.hosts, h)
		c.byID[n.GetId()] = h
	}
	byService := make(map[string][]*group) // the groups of one share copies
	for _, g := range groups {
		byService[g.service] = append(byService[g.service], g)
	}
	var newest *clusterpb.Task
	for t := range s.Tasks() {
		h := c.byID[t.GetNodeId()]
		if h != nil {
			c.count(t, h, byService[t.GetServiceId()], now)
		}
		newest = c.mark(t, newest)
	}
	if newest != nil {
		c.walk(newest)
	}
	return c, nil
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
	if observed != lifecycle.Failed && observed != lifecycle.Rejected || lifecycle.Asked(t) ||
		now.Sub(t.GetStatus().GetAppliedAt().AsTime()) > failureWindow {
		return
	}
	for _, g := range groups {
		if g.version == t.GetSpecVersion() {
			g.failures[h]++
		}
	}
}

// mark takes the task's addresses out of the pool, and returns whichever task
// got its addresses later.
func (c *cluster) mark(t, newest *clusterpb.Task) *clusterpb.Task {
	if c.pool == nil || len(t.GetAddresses()) == 0 {
		return newest
	}
	if !lifecycle.Ended(t.GetStatus().GetState()) {
		for _, a := range t.GetAddresses() {
			if addr, err := netip.ParseAddr(a); err == nil {
				c.pool.Use(addr)
			}
		}
	}
	if newest == nil || later(t, newest) {
		return t
	}
	return newest
}

// later orders tasks by creation, those created together by address.
func later(a, b *clusterpb.Task) bool {
	x, y := a.GetCreatedAt(), b.GetCreatedAt()
	if x.GetSeconds() != y.GetSeconds() {
		return x.GetSeconds() > y.GetSeconds()
	}
	if x.GetNanos() != y.GetNanos() {
		return x.GetNanos() > y.GetNanos()
	}
	p, _ := netip.ParseAddr(a.GetAddresses()[0])
	q, _ := netip.ParseAddr(b.GetAddresses()[0])
	return p.Compare(q) > 0
}

// walk lets the pool go on behind the newest task's addresses.
func (c *cluster) walk(newest *clusterpb.Task) {
	if addr, err := netip.ParseAddr(newest.GetAddresses()[0]); err == nil {
		c.pool.Walk(addr)
	}
}

// hold takes what the task reserves for as long as it may be running.
func (h *host) hold(t *clusterpb.Task) {
	h.cpus -= t.GetSpec().GetReservations().GetNanoCpus()
	h.memory -= t.GetSpec().GetReservations().GetMemoryBytes()
	for _, p := range t.GetPorts() {
		if port.IsFixedOnHost(p) {
			if h.ports == nil {
				h.ports = make(map[port.Key]bool)
			}
			h.ports[port.Of(p)] = true
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
			delete(h.ports, port.Of(p))
		}
	}
}
