package node

import (
	"strings"

	"github.com/moby/moby/api/types/swarm"

	"github.com/muster/muster/cli/flags"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
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

// managerStatus is Leader, Reachable or Unreachable; "" for a worker.
func managerStatus(m *swarm.ManagerStatus) string {
	switch {
	case m == nil, m.Reachability == swarm.ReachabilityUnknown && !m.Leader:
		return ""
	case m.Leader:
		return "Leader"
	}
	return title(string(m.Reachability))
}

func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
