package scheduler

import (
	"cmp"
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/constraint"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/raftstore/state"
)

// group is the waiting tasks of one service and spec_version: all alike.
type group struct {
	service string
	version uint64
	tasks   []*clusterpb.Task // by slot

	spec        *clusterpb.TaskSpec
	images      []*clusterpb.ResolvedImage
	ports       []port.Key
	constraints []constraint.Constraint
	broken      error // why the constraints cannot be read

	copies   map[*host]int // wanted tasks of the service, shared by its groups
	failures map[*host]int // recent failures of this spec

	tree *branch
	// refused counts nodes by the reason why they cannot take a task.
	refused map[reason]int
	// unsettled: a reason was not written since another was only just now.
	unsettled bool
}

type groupKey struct {
	service string
	version uint64
}

// waiting returns the tasks without a node in groups, the group with the
// oldest task first.
func waiting(s *state.State) []*group {
	byKey := make(map[groupKey]*group)
	copies := make(map[string]map[*host]int)
	var groups []*group
	for t := range s.UnassignedTasks() {
		k := groupKey{t.GetServiceId(), t.GetSpecVersion()}
		g := byKey[k]
		if g == nil {
			if copies[k.service] == nil {
				copies[k.service] = make(map[*host]int)
			}
			g = newGroup(t, copies[k.service])
			byKey[k] = g
			groups = append(groups, g)
		}
		g.tasks = append(g.tasks, t)
	}
	for _, g := range groups {
		slices.SortFunc(g.tasks, func(a, b *clusterpb.Task) int {
			return cmp.Or(cmp.Compare(a.GetSlot(), b.GetSlot()), cmp.Compare(a.GetId(), b.GetId()))
		})
	}
	slices.SortStableFunc(groups, func(a, b *group) int {
		return cmp.Or(oldest(a).Compare(oldest(b)), cmp.Compare(a.service, b.service), cmp.Compare(a.version, b.version))
	})
	return groups
}

func newGroup(t *clusterpb.Task, copies map[*host]int) *group {
	g := &group{
		service: t.GetServiceId(), version: t.GetSpecVersion(), spec: t.GetSpec(), images: t.GetImages(),
		copies: copies, failures: make(map[*host]int), refused: make(map[reason]int),
	}
	for _, p := range t.GetPorts() {
		if port.IsFixedOnHost(p) {
			g.ports = append(g.ports, port.Of(p))
		}
	}
	g.constraints, g.broken = constraint.ParseAll(t.GetSpec().GetPlacement().GetConstraints())
	return g
}

// judge runs every node through the filters and arranges those that pass.
func (g *group) judge(c *cluster) {
	keys := g.spec.GetPlacement().GetSpread()
	g.tree = newBranch(len(keys) > 0)
	for _, h := range c.hosts {
		if why := g.refuses(h); why != "" {
			g.refused[why]++
			continue
		}
		g.tree.add(&seat{host: h, copies: g.copies[h], failing: g.failures[h] >= c.failureLimit}, keys)
	}
	g.tree.settle()
}

// pick returns the best node for the task, or nil. What a node cannot take it
// will not take later in this pass, for what is free only shrinks.
func (g *group) pick(t *clusterpb.Task, c *cluster) *host {
	for {
		s := g.tree.best()
		if s == nil {
			return g.inherit(t, c)
		}
		// Other groups took from this node since it was judged.
		why := g.lacks(s.host)
		if why == "" {
			return s.host
		}
		g.refused[why]++
		g.tree.drop()
	}
}

// inherit places a held task on its predecessor's node when there is room
// nowhere else: it is not started before the other has stopped, so it may
// count on what that one holds. One that has ended holds nothing any more.
func (g *group) inherit(t *clusterpb.Task, c *cluster) *host {
	if !t.GetHold() {
		return nil
	}
	old, ok := c.task(t.GetPredecessor())
	if !ok || lifecycle.Ended(old.GetStatus().GetState()) {
		return nil
	}
	h := c.byID[old.GetNodeId()]
	if h == nil || g.mismatches(h) != "" {
		return nil
	}
	h.release(old)
	if g.lacks(h) == "" {
		return h // and what old holds is t's from now on
	}
	h.hold(old)
	return nil
}

// placed tells that the node last picked got a task.
func (g *group) placed(h *host) {
	g.copies[h]++
	g.tree.placed(h)
}
