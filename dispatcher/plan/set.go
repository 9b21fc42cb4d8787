package plan

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// Set is what one node should be. It is immutable.
type Set struct {
	index  uint64
	nodeID string
	mesh   *mesh
	tasks  *ownTasks
	// sources are where the images of tasks that still need them may be fetched
	// from, by task.
	sources  map[string][]*dispatchpb.ImageSource
	images   *dispatchpb.ImageOrders
	settings *dispatchpb.Settings
}

// ownTasks are the tasks on one node. Sets share them for as long as no change
// among them is known.
type ownTasks struct {
	byID map[string]*clusterpb.Task
	// unprepared: some still need their image.
	unprepared bool
}

// Set returns what the node should be. It costs work for the node's own
// tasks only.
func (p *Plan) Set(nodeID string) *Set {
	tasks := &ownTasks{byID: make(map[string]*clusterpb.Task)}
	for t := range p.view.TasksOn(nodeID) {
		// Tasks that ended stay listed until managers forget them: the node
		// keeps their logs for as long.
		tasks.byID[t.GetId()] = t
		tasks.unprepared = tasks.unprepared || isUnprepared(t)
	}
	return p.set(nodeID, tasks)
}

// Refresh returns old as of this plan for a node whose tasks are the same.
func (p *Plan) Refresh(old *Set) *Set { return p.set(old.nodeID, old.tasks) }

func (p *Plan) set(nodeID string, tasks *ownTasks) *Set {
	s := &Set{index: p.index, nodeID: nodeID, mesh: p.mesh, tasks: tasks, images: p.upkeep.of(nodeID), settings: p.settingsFor(nodeID)}
	if tasks.unprepared {
		s.sources = p.sources.of(nodeID, tasks.byID)
	}
	return s
}

// At returns the same content at the index of the last message that told the
// node so, which is what the next difference must name as its base.
func (s *Set) At(index uint64) *Set {
	if s.index == index {
		return s
	}
	at := *s
	at.index = index
	return &at
}

// Index is the index of the state that the set is of, or what At made of it.
func (s *Set) Index() uint64 { return s.index }

// Leaving returns the desired indexes of tasks that should stop and have not:
// these may wait for every node's mesh to let go of them.
func (s *Set) Leaving() (indexes []uint64) {
	for _, t := range s.tasks.byID {
		if t.GetDesired() >= lifecycle.Shutdown && !lifecycle.Ended(t.GetStatus().GetState()) {
			indexes = append(indexes, t.GetDesiredIndex())
		}
	}
	return indexes
}
