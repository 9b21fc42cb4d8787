package controlapi

import (
	"fmt"
	"iter"
	"strings"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore/state"
)

// find returns the one object that ref names: by id, by one of its names, or
// by a prefix of its id that no other shares.
func find[T any](kind, ref string, all iter.Seq[T], id func(T) string, name func(T) string) (T, error) {
	var byName, byPrefix []T
	for o := range all {
		switch {
		case id(o) == ref:
			return o, nil
		case name(o) == ref:
			byName = append(byName, o)
		case ref != "" && strings.HasPrefix(id(o), ref):
			byPrefix = append(byPrefix, o)
		}
	}
	var none T
	for _, found := range [][]T{byName, byPrefix} {
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return none, fmt.Errorf("%s %q is ambiguous: %d match; use the whole id: %w", kind, ref, len(found), errdefs.ErrInvalidArgument)
		}
	}
	return none, fmt.Errorf("no %s %q: %w", kind, ref, errdefs.ErrNotFound)
}

func findService(s *state.State, ref string) (*clusterpb.Service, error) {
	return find("service", ref, s.Services(), (*clusterpb.Service).GetId,
		func(o *clusterpb.Service) string { return o.GetSpec().GetName() })
}

func findNode(s *state.State, ref string) (*clusterpb.Node, error) {
	return find("node", ref, s.Nodes(), (*clusterpb.Node).GetId,
		func(o *clusterpb.Node) string { return o.GetDescription().GetHostname() })
}

func findTask(s *state.State, ref string) (*clusterpb.Task, error) {
	return find("task", ref, s.Tasks(), (*clusterpb.Task).GetId,
		func(o *clusterpb.Task) string {
			return fmt.Sprintf("%s.%d.%s", o.GetServiceName(), o.GetSlot(), o.GetId())
		})
}
