package plan

import (
	"google.golang.org/protobuf/proto"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/raftstore/state"
)

// Plan is one state as the nodes should see it. It is immutable: made once
// for each change of state and shared by all sessions.
type Plan struct {
	index   uint64
	view    View
	mesh    *mesh
	sources *sources
	named   *named
	upkeep  *upkeep
	// settings are the same for every node but for self_index.
	settings *dispatchpb.Settings
}

// First returns the plan of a state, of index, of which nothing is known yet.
func First(v View, index uint64) *Plan {
	p := &Plan{mesh: emptyMesh(), named: &named{}}
	return p.next(v, index, everything(v)).Plan
}

// Index is the log index of the state that the plan is of.
func (p *Plan) Index() uint64 { return p.index }

// Step is a plan and what is new in it.
type Step struct {
	*Plan
	// Nodes are those whose own tasks may have changed. All says that every
	// node has to look, since what all share is another.
	Nodes map[string]struct{}
	All   bool
	// Lost are nodes that may not keep a session: they were removed, or are down
	// and have to register to be ready again.
	Lost []string
}

// Next returns the plan of a later state v, of index, given what was changed
// in between. It costs work for what changed only.
func (p *Plan) Next(v View, index uint64, changed map[state.Ref]struct{}) Step {
	return p.next(v, index, dirtyOf(changed, p.view, v))
}

func (p *Plan) next(v View, index uint64, d dirty) Step {
	q := &Plan{index: index, view: v, sources: p.sources, upkeep: p.upkeep, settings: p.settings}
	q.mesh = p.mesh.next(v, d.nodes, d.services)
	if d.images {
		q.sources = newSources(v.Nodes())
	}
	q.named = p.named.next(v, d.services)
	if d.images || q.named != p.named || p.upkeep == nil {
		q.upkeep = p.upkeep.next(v, q.named)
	}
	if d.settings {
		if s := settingsOf(v); !proto.Equal(s, p.settings) {
			q.settings = s
		}
	}
	step := Step{Plan: q, Nodes: d.nodes, All: q.mesh != p.mesh || q.settings != p.settings || q.sources != p.sources || q.upkeep != p.upkeep}
	for id := range d.nodes {
		if n, ok := v.Node(id); !ok || lifecycle.Down(n) {
			step.Lost = append(step.Lost, id)
		}
	}
	return step
}
