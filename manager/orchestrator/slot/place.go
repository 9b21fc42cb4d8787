package slot

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/constraint"
	"github.com/muster/muster/proto/lifecycle"
)

// Nodes looks a node up by its ID.
type Nodes func(id string) (*clusterpb.Node, bool)

// Lost tells why the task's node can no longer run it: it is down or gone. ""
// when it can, or when the task has no node yet. The node is not named: whoever
// reads it sees the task's node beside it.
func Lost(t *clusterpb.Task, nodes Nodes) string {
	if t.GetNodeId() == "" {
		return ""
	}
	n, ok := nodes(t.GetNodeId())
	switch {
	case !ok:
		return "its node was removed"
	case lifecycle.Down(n):
		return "its node is down"
	}
	return ""
}

// Drained tells why the task has to leave a node that works: it is being
// drained, or shuts down. "" when it may stay.
func Drained(t *clusterpb.Task, nodes Nodes) string {
	if t.GetNodeId() == "" {
		return ""
	}
	n, ok := nodes(t.GetNodeId())
	switch {
	case !ok:
		return ""
	case n.GetDescription().GetStopping():
		return "its node shuts down"
	case n.GetSpec().GetAvailability() == clusterpb.NodeSpec_AVAILABILITY_DRAIN:
		return "its node is being drained"
	}
	return ""
}

// Stopping reports whether the task's node shuts down, so that the task ends
// whether there is another one or not.
func Stopping(t *clusterpb.Task, nodes Nodes) bool {
	n, ok := nodes(t.GetNodeId())
	return ok && n.GetDescription().GetStopping()
}

// Unplaceable reports whether no node may run the task, as things are.
func Unplaceable(t *clusterpb.Task) bool {
	return t.GetStatus().GetState() == lifecycle.Pending && t.GetNodeId() == "" && t.GetStatus().GetErr() != ""
}

// Stopped reports whether nothing of the task can be running any more: it
// ended, never got to a node, or its node is down or gone.
func Stopped(t *clusterpb.Task, nodes Nodes) bool {
	return lifecycle.Ended(t.GetStatus().GetState()) || t.GetNodeId() == "" || Lost(t, nodes) != ""
}

// Fits reports whether the node meets the constraints and all images exist for
// it. Constraints that do not parse are never met.
func Fits(p *clusterpb.Placement, images []*clusterpb.ResolvedImage, n *clusterpb.Node) bool {
	list, err := constraint.ParseAll(p.GetConstraints())
	return err == nil && constraint.MatchAll(list, n) && RunsOn(images, n)
}

// RunsOn reports whether all images exist for the node.
func RunsOn(images []*clusterpb.ResolvedImage, n *clusterpb.Node) bool {
	for _, i := range images {
		if !oneOf(i.GetPlatforms(), n) {
			return false
		}
	}
	return true
}

// oneOf reports whether the node is one of the platforms; none means any.
func oneOf(platforms []*clusterpb.Platform, n *clusterpb.Node) bool {
	if len(platforms) == 0 {
		return true
	}
	have := n.GetDescription().GetPlatform()
	for _, want := range platforms {
		osFits := want.GetOs() == "" || want.GetOs() == have.GetOs()
		archFits := want.GetArchitecture() == "" || constraint.SameArchitecture(want.GetArchitecture(), have.GetArchitecture())
		if osFits && archFits {
			return true
		}
	}
	return false
}
