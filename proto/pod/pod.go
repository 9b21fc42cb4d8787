// Package pod knows what a task is called, which of its containers is the main
// one, and what the images of all stand for.
//
// The main container is the first of the spec, and the first of the status.
// The task is as healthy as it is, ends when it ends, and is stopped with its
// signal, grace period and drain timeout.
package pod

import (
	"fmt"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Name is what a task is called: SERVICE.SLOT.ID.
func Name(t *clusterpb.Task) string {
	return fmt.Sprintf("%s.%d.%s", t.GetServiceName(), t.GetSlot(), t.GetId())
}

// Main returns the main container, or nil when the spec has none.
func Main(t *clusterpb.TaskSpec) *clusterpb.ContainerSpec { return first(t.GetContainers()) }

// Image returns what nodes fetch for the main container: its image with the
// digest it was resolved to, if it was.
func Image(t *clusterpb.TaskSpec, resolved []*clusterpb.ResolvedImage) string {
	return Pinned(resolved, Main(t).GetImage())
}

// MainStatus returns what is known about the main container, or nil before it
// was started.
func MainStatus(s *clusterpb.TaskStatus) *clusterpb.ContainerStatus { return first(s.GetContainers()) }

func first[T any](list []*T) *T {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}
