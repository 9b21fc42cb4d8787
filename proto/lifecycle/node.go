package lifecycle

import clusterpb "github.com/muster/muster/proto/cluster/v1"

// Connected reports whether the node has a session with the managers, be it well
// or not.
func Connected(n *clusterpb.Node) bool {
	s := n.GetStatus().GetState()
	return s == clusterpb.NodeStatus_STATE_READY || s == clusterpb.NodeStatus_STATE_UNWELL
}

// Down reports whether managers have given the node up: its tasks are replaced.
func Down(n *clusterpb.Node) bool { return n.GetStatus().GetState() == clusterpb.NodeStatus_STATE_DOWN }

// Well reports whether the node can be given work: it is connected, and nothing
// keeps it from working.
func Well(n *clusterpb.Node) bool {
	return n.GetStatus().GetState() == clusterpb.NodeStatus_STATE_READY
}
