package dispatcher

import (
	"cmp"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// plan is one state as the nodes should see it. It is immutable: made once
// for each change of state and shared by all sessions.
type plan struct {
	index   uint64
	view    view
	mesh    *mesh
	sources *sources
	// settings are the same for every node but for self_index.
	settings *dispatchpb.Settings
}

// set is what one node should be.
type set struct {
	index   uint64
	nodeID  string
	mesh    *mesh
	tasks   *ownTasks
	sources []*dispatchpb.ImageSource

	settings *dispatchpb.Settings
}

// ownTasks are the tasks on one node. Sets share them for as long as the plan
// loop sees no change among them.
type ownTasks struct {
	byID map[string]*clusterpb.Task
	// unprepared: some still need their image.
	unprepared bool
}

// set returns what the node should be. It costs work for the node's own
// tasks only.
func (p *plan) set(nodeID string) *set {
	s := &set{index: p.index, nodeID: nodeID, mesh: p.mesh, tasks: &ownTasks{byID: make(map[string]*clusterpb.Task)}}
	for t := range p.view.TasksOn(nodeID) {
		// Tasks that ended stay listed until managers forget them: the node
		// keeps their logs for as long.
		s.tasks.byID[t.GetId()] = t
		s.tasks.unprepared = s.tasks.unprepared || unprepared(t)
	}
	return p.refresh(s)
}

// refresh returns old as of this plan for a node whose tasks are the same.
func (p *plan) refresh(old *set) *set {
	s := *old
	s.index, s.mesh = p.index, p.mesh
	s.sources = nil
	if s.tasks.unprepared {
		s.sources = p.sources.of(s.nodeID, s.tasks.byID)
	}
	s.settings = p.settings
	if n, ok := p.view.Node(s.nodeID); ok {
		if s.settings.GetSelfIndex() != n.GetIndex() {
			s.settings = proto.CloneOf(p.settings)
			s.settings.SelfIndex = n.GetIndex()
		}
	}
	return &s
}

// settingsOf returns the settings that all nodes share.
func settingsOf(v view) *dispatchpb.Settings {
	c := v.Cluster()
	s := &dispatchpb.Settings{
		IngressSubnets:  c.GetIngressSubnets(),
		DataPathPort:    c.GetDataPathPort(),
		GossipKeys:      v.Secrets().GetGossipKeys(),
		ClusterId:       c.GetId(),
		HeartbeatPeriod: durationpb.New(periodOf(v)),
	}
	for n := range v.Nodes() {
		if n.GetRole() == clusterpb.NodeRole_NODE_ROLE_MANAGER && n.GetDescription().GetControlAddr() != "" {
			s.Managers = append(s.Managers, n.GetDescription().GetControlAddr())
		}
	}
	slices.Sort(s.GetManagers())
	return s
}

// full returns the whole set as a message.
func full(s *set) *dispatchpb.Assignments {
	d := s.mesh.since(emptyMesh())
	return &dispatchpb.Assignments{
		Index: s.index, Full: true, Settings: s.settings,
		Tasks:   inOrder(s.tasks.byID),
		Peers:   others(d.peers, s.nodeID),
		Ports:   d.ports,
		Sources: s.sources, SourcesSet: true,
	}
}

// diff returns what leads from old to next, and whether that is anything.
func diff(old, next *set) (a *dispatchpb.Assignments, changed bool) {
	a = &dispatchpb.Assignments{Index: next.index, Base: old.index, Settings: next.settings}
	if old.tasks != next.tasks {
		diffTasks(a, old.tasks.byID, next.tasks.byID)
	}

	d := next.mesh.since(old.mesh)
	a.Peers, a.GonePeers = others(d.peers, next.nodeID), d.gonePeers
	if slices.Contains(a.GetGonePeers(), next.nodeID) {
		a.GonePeers = slices.DeleteFunc(slices.Clone(a.GetGonePeers()), func(id string) bool { return id == next.nodeID })
	}
	a.Ports, a.GonePorts = d.ports, d.gonePorts

	if !slices.EqualFunc(old.sources, next.sources, func(a, b *dispatchpb.ImageSource) bool { return proto.Equal(a, b) }) {
		a.Sources, a.SourcesSet = next.sources, true
	}
	changed = len(a.GetTasks())+len(a.GetGoneTasks())+len(a.GetPeers())+len(a.GetGonePeers())+
		len(a.GetPorts())+len(a.GetGonePorts()) > 0 || a.GetSourcesSet() ||
		(old.settings != next.settings && !proto.Equal(old.settings, next.settings))
	return a, changed
}

func diffTasks(a *dispatchpb.Assignments, old, next map[string]*clusterpb.Task) {
	for id, t := range next {
		if o := old[id]; o == nil || !sameOrders(o, t) {
			a.Tasks = append(a.Tasks, t)
		}
	}
	for id := range old {
		if next[id] == nil {
			a.GoneTasks = append(a.GoneTasks, id)
		}
	}
	slices.SortFunc(a.GetTasks(), compareTasks)
	slices.Sort(a.GetGoneTasks())
}

func inOrder(tasks map[string]*clusterpb.Task) []*clusterpb.Task {
	return slices.SortedFunc(maps.Values(tasks), compareTasks)
}

func compareTasks(a, b *clusterpb.Task) int { return cmp.Compare(a.GetId(), b.GetId()) }

// sameOrders reports whether a and b tell a node the same. What the node
// itself reported is no news to it, but that managers gave a task up is.
func sameOrders(a, b *clusterpb.Task) bool {
	return a == b || (a.GetDesired() == b.GetDesired() && a.GetDesiredIndex() == b.GetDesiredIndex() &&
		slices.Equal(a.GetAddresses(), b.GetAddresses()) && orphaned(a) == orphaned(b))
}

func orphaned(t *clusterpb.Task) bool { return t.GetStatus().GetState() == lifecycle.Orphaned }

// others returns the peers but self.
func others(peers []*dispatchpb.Peer, self string) []*dispatchpb.Peer {
	i, ok := slices.BinarySearchFunc(peers, self, func(p *dispatchpb.Peer, id string) int {
		return cmp.Compare(p.GetId(), id)
	})
	if !ok {
		return peers
	}
	return slices.Concat(peers[:i], peers[i+1:])
}
