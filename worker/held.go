package worker

import (
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/errdefs"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/worker/state"
)

// held is what managers said the node should be, as far as it was heard. It
// is immutable: apply returns the next one.
type held struct {
	// index is 0 until a manager has spoken since the daemon started.
	index    uint64
	tasks    map[string]*dispatchpb.TaskAssignment
	peers    map[string]*dispatchpb.Peer
	ports    map[port.Key]*dispatchpb.MeshPort
	settings *dispatchpb.Settings // nil before the first contact ever
}

// remembered returns what the daemon was told before it was restarted.
func remembered(s *state.Saved) *held {
	h := &held{
		tasks: s.Tasks, settings: s.Settings,
		peers: make(map[string]*dispatchpb.Peer), ports: make(map[port.Key]*dispatchpb.MeshPort),
	}
	for _, p := range s.Peers {
		h.peers[p.GetId()] = p
	}
	for _, p := range s.Ports {
		h.ports[port.Of(p)] = p
	}
	return h
}

// own adds to the ports on which the node listens for the cluster that of the
// traffic between nodes.
func (h *held) own(ports []port.Key) []port.Key {
	if n := h.settings.GetDataPathPort(); n != 0 {
		ports = append(slices.Clip(ports), port.UDP(n))
	}
	return ports
}

// apply returns what is held after a, and the tasks that are gone with it.
// FailedPrecondition when a is a difference to something else than h.
func (h *held) apply(a *dispatchpb.Assignments) (next *held, gone []string, err error) {
	next = &held{index: a.GetIndex(), settings: a.GetSettings()}
	switch {
	case a.GetFull():
		next.tasks, next.peers, next.ports = map[string]*dispatchpb.TaskAssignment{}, map[string]*dispatchpb.Peer{}, map[port.Key]*dispatchpb.MeshPort{}
	case a.GetBase() != h.index:
		return nil, nil, fmt.Errorf("a difference to index %d, but this node holds %d: %w", a.GetBase(), h.index, errdefs.ErrFailedPrecondition)
	default:
		next.tasks, next.peers, next.ports = maps.Clone(h.tasks), maps.Clone(h.peers), maps.Clone(h.ports)
	}
	for _, t := range a.GetTasks() {
		next.tasks[t.GetTask().GetId()] = t
	}
	for _, id := range a.GetGoneTasks() {
		delete(next.tasks, id)
	}
	for _, p := range a.GetPeers() {
		next.peers[p.GetId()] = p
	}
	for _, id := range a.GetGonePeers() {
		delete(next.peers, id)
	}
	for _, p := range a.GetPorts() {
		next.ports[port.Of(p)] = p
	}
	for _, p := range a.GetGonePorts() {
		delete(next.ports, port.Of(p))
	}
	for id := range h.tasks {
		if next.tasks[id] == nil {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	return next, gone, nil
}
