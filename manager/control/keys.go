package control

import (
	"maps"
	"slices"

	"github.com/muster/muster/raftstore"
)

// ServiceKeys returns the ID of every service and of every removed service
// that still has tasks.
func ServiceKeys(s *raftstore.State) []string {
	ids := make(map[string]struct{})
	for svc := range s.Services() {
		ids[svc.GetId()] = struct{}{}
	}
	for t := range s.Tasks() {
		ids[t.GetServiceId()] = struct{}{}
	}
	return slices.Sorted(maps.Keys(ids))
}

// ServicesOf maps a changed object to services: itself, the task's, or those
// with tasks on the node.
func ServicesOf(s *raftstore.State, ref raftstore.Ref) []string {
	switch ref.Kind {
	case raftstore.KindService:
		return []string{ref.ID}
	case raftstore.KindTask:
		return []string{ref.Owner}
	case raftstore.KindNode:
		ids := make(map[string]struct{})
		for t := range s.TasksOn(ref.ID) {
			ids[t.GetServiceId()] = struct{}{}
		}
		return slices.Sorted(maps.Keys(ids))
	case raftstore.KindCluster, raftstore.KindSecrets:
	}
	return nil
}
