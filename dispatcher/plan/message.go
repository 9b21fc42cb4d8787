package plan

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// Full returns the message that tells a node everything.
func (s *Set) Full() *dispatchpb.Assignments {
	d := s.mesh.since(emptyMesh())
	return &dispatchpb.Assignments{
		Index: s.index, Full: true, Settings: s.settings,
		Tasks: s.assignments(maps.Keys(s.tasks.byID)),
		Peers: others(d.peers, s.nodeID),
		Ports: d.ports, ImageOrders: s.images,
	}
}

// Since returns the message that leads a node from old to s, and whether
// there is anything to tell.
func (s *Set) Since(old *Set) (a *dispatchpb.Assignments, changed bool) {
	a = &dispatchpb.Assignments{Index: s.index, Base: old.index, Settings: s.settings}
	if old.tasks != s.tasks || old.tasks.unprepared {
		a.Tasks, a.GoneTasks = s.tasksSince(old)
	}
	d := s.mesh.since(old.mesh)
	a.Peers, a.GonePeers = others(d.peers, s.nodeID), d.gonePeers
	if slices.Contains(a.GetGonePeers(), s.nodeID) {
		a.GonePeers = slices.DeleteFunc(slices.Clone(a.GetGonePeers()), func(id string) bool { return id == s.nodeID })
	}
	a.Ports, a.GonePorts = d.ports, d.gonePorts
	if !proto.Equal(old.images, s.images) {
		a.ImageOrders = s.images
	}

	changed = len(a.GetTasks())+len(a.GetGoneTasks())+len(a.GetPeers())+len(a.GetGonePeers())+
		len(a.GetPorts())+len(a.GetGonePorts()) > 0 || a.GetImageOrders() != nil ||
		(old.settings != s.settings && !proto.Equal(old.settings, s.settings))
	return a, changed
}

// tasksSince returns the tasks that s tells otherwise than old, and those
// that are gone, in order of ids.
func (s *Set) tasksSince(old *Set) (news []*dispatchpb.TaskAssignment, gone []string) {
	var ids []string
	for id, t := range s.tasks.byID {
		o := old.tasks.byID[id]
		if o == nil || !sameOrders(o, t) || (isUnprepared(t) && !sameSources(old.sources[id], s.sources[id])) {
			ids = append(ids, id)
		}
	}
	for id := range old.tasks.byID {
		if s.tasks.byID[id] == nil {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	return s.assignments(slices.Values(ids)), gone
}

// assignments returns the tasks called ids as they are sent, in order of ids.
func (s *Set) assignments(ids iter.Seq[string]) (list []*dispatchpb.TaskAssignment) {
	for _, id := range slices.Sorted(ids) {
		list = append(list, &dispatchpb.TaskAssignment{Task: s.tasks.byID[id], Sources: s.sources[id]})
	}
	return list
}

// sameOrders reports whether a and b tell a node the same. What the node
// itself reported is no news to it, but that managers gave a task up is.
func sameOrders(a, b *clusterpb.Task) bool {
	return a == b || (a.GetDesired() == b.GetDesired() && a.GetDesiredIndex() == b.GetDesiredIndex() &&
		sameAttachments(a.GetAttachments(), b.GetAttachments()) && isOrphaned(a) == isOrphaned(b))
}

func sameAttachments(a, b []*clusterpb.Attachment) bool {
	return slices.EqualFunc(a, b, func(a, b *clusterpb.Attachment) bool { return proto.Equal(a, b) })
}

func isOrphaned(t *clusterpb.Task) bool { return t.GetStatus().GetState() == lifecycle.Orphaned }

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
