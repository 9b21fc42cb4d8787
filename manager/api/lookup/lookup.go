// Package lookup finds the object that a user names: by its id, by its name,
// or by a prefix of its id that no other shares.
package lookup

import (
	"fmt"
	"iter"
	"strings"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/raftstore/state"
)

// Service finds a service. Errors are NotFound, or InvalidArgument when
// several are meant; so for the other kinds.
func Service(s *state.State, ref string) (*clusterpb.Service, error) {
	return find("service", ref, s.Services(), (*clusterpb.Service).GetId,
		func(o *clusterpb.Service) string { return o.GetSpec().GetName() })
}

// Node finds a node; its name is that of its host.
func Node(s *state.State, ref string) (*clusterpb.Node, error) {
	return find("node", ref, s.Nodes(), (*clusterpb.Node).GetId,
		func(o *clusterpb.Node) string { return o.GetDescription().GetHostname() })
}

// Task finds a task.
func Task(s *state.State, ref string) (*clusterpb.Task, error) {
	return find("task", ref, s.Tasks(), (*clusterpb.Task).GetId, pod.Name)
}

func find[T any](kind, ref string, all iter.Seq[T], id, name func(T) string) (none T, err error) {
	if ref == "" {
		return none, fmt.Errorf("no %s is named: %w", kind, errdefs.ErrInvalidArgument)
	}
	var byName, byPrefix []T
	for o := range all {
		switch {
		case id(o) == ref:
			return o, nil
		case name(o) == ref:
			byName = append(byName, o)
		case strings.HasPrefix(id(o), ref):
			byPrefix = append(byPrefix, o)
		}
	}
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
