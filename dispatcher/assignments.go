package dispatcher

import (
	"cmp"
	"iter"
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
	index  uint64
	nodeID string
	mesh   *mesh
	tasks  *ownTasks
	// sources are where the images of tasks that still need them may be fetched
	// from, by task.
	sources map[string][]*dispatchpb.ImageSource

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
		Tasks: s.assignments(maps.Keys(s.tasks.byID)),
		Peers: others(d.peers, s.nodeID),
		Ports: d.ports,
	}
}

// diff returns what leads from old to next, and whether that is anything.
func diff(old, next *set) (a *dispatchpb.Assignments, changed bool) {
	a = &dispatchpb.Assignments{Index: next.index, Base: old.index, Settings: next.settings}
	if old.tasks != next.tasks || old.tasks.unprepared {
		a.Tasks, a.GoneTasks = diffTasks(old, next)
	}

	d := next.mesh.since(old.mesh)
	a.Peers, a.GonePeers = others(d.peers, next.nodeID), d.gonePeers
	if slices.Contains(a.GetGonePeers(), next.nodeID) {
		a.GonePeers = slices.DeleteFunc(slices.Clone(a.GetGonePeers()), func(id string) bool { return id == next.nodeID })
	}
	a.Ports, a.GonePorts = d.ports, d.gonePorts

	changed = len(a.GetTasks())+len(a.GetGoneTasks())+len(a.GetPeers())+len(a.GetGonePeers())+
		len(a.GetPorts())+len(a.GetGonePorts()) > 0 ||
		(old.settings != next.settings && !proto.Equal(old.settings, next.settings))
	return a, changed
}

// diffTasks returns the tasks that next tells otherwise than old, and those
// that are gone, in order of ids.
func diffTasks(old, next *set) (news []*dispatchpb.TaskAssignment, gone []string) {
	var ids []string
	for id, t := range next.tasks.byID {
		o := old.tasks.byID[id]
		if o == nil || !sameOrders(o, t) || (unprepared(t) && !sameSources(old.sources[id], next.sources[id])) {
			ids = append(ids, id)
		}
	}
	for id := range old.tasks.byID {
		if next.tasks.byID[id] == nil {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	return next.assignments(slices.Values(ids)), gone
}

// assignments returns the tasks called ids as they are sent, in order of ids.
func (s *set) assignments(ids iter.Seq[string]) (list []*dispatchpb.TaskAssignment) {
	for _, id := range slices.Sorted(ids) {
		list = append(list, &dispatchpb.TaskAssignment{Task: s.tasks.byID[id], Sources: s.sources[id]})
	}
	return list
}

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
