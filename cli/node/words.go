package node

import (
	"strings"

	"github.com/moby/moby/api/types/swarm"
)

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
