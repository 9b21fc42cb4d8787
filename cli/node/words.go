package node

import (
	"strings"

	"github.com/muster/muster/cli/flags"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// Availability is the kind of --availability.
func Availability() flags.Kind[clusterpb.NodeSpec_Availability] {
	return flags.OneOf(Availabilities(), map[string]clusterpb.NodeSpec_Availability{
		"active": clusterpb.NodeSpec_AVAILABILITY_ACTIVE,
		"pause":  clusterpb.NodeSpec_AVAILABILITY_PAUSE,
		"drain":  clusterpb.NodeSpec_AVAILABILITY_DRAIN,
	})
}

// Availabilities are the words of Availability.
func Availabilities() []string { return []string{"active", "pause", "drain"} }

func availability(n *clusterpb.Node) string {
	return word(n.GetSpec().GetAvailability().String(), "AVAILABILITY_", "active")
}

func state(n *clusterpb.Node) string {
	return word(n.GetStatus().GetState().String(), "STATE_", "unknown")
}

func role(n *clusterpb.Node) string {
	return word(n.GetRole().String(), "NODE_ROLE_", "worker")
}

// managerStatus is Leader, Reachable or Unreachable; "" for a worker.
func managerStatus(v *controlpb.NodeView) string {
	switch {
	case v.GetLeader():
		return "Leader"
	case v.GetManager() == controlpb.NodeView_REACHABILITY_REACHABLE:
		return "Reachable"
	case v.GetManager() == controlpb.NodeView_REACHABILITY_UNREACHABLE:
		return "Unreachable"
	}
	return ""
}

// word is the name of an enum value as people write it.
func word(s, prefix, unset string) string {
	if s = strings.TrimPrefix(s, prefix); s == "UNSPECIFIED" {
		return unset
	}
	return strings.ToLower(s)
}

func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
