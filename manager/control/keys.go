package control

import (
	"maps"
	"slices"

	"github.com/muster/muster/raftstore/state"
)

// ServiceKeys returns the ID of every service and of every removed service
// that still has tasks.
func ServiceKeys(s *state.State) []string {
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
func ServicesOf(s *state.State, ref state.Ref) []string {
	switch ref.Kind {
	case state.KindService:
		return []string{ref.ID}
	case state.KindTask:
		return []string{ref.Owner}
	case state.KindNode:
		ids := make(map[string]struct{})
		for t := range s.TasksOn(ref.ID) {
			ids[t.GetServiceId()] = struct{}{}
		}
		return slices.Sorted(maps.Keys(ids))
	default: // is of no service
	}
	return nil
}
