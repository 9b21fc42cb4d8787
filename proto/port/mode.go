package port

import clusterpb "github.com/muster/muster/proto/cluster/v1"

// ModeName returns "ingress" or "host"; an unspecified mode is ingress.
func ModeName(m clusterpb.Port_Mode) string {
	if m == clusterpb.Port_MODE_HOST {
		return "host"
	}
	return "ingress"
}

// ParseMode is the opposite of ModeName. It reports false for any other name.
func ParseMode(name string) (clusterpb.Port_Mode, bool) {
	switch name {
	case "ingress":
		return clusterpb.Port_MODE_INGRESS, true
	case "host":
		return clusterpb.Port_MODE_HOST, true
	}
	return clusterpb.Port_MODE_UNSPECIFIED, false
}

// HasHostMode reports whether only the nodes that run a task answer on the
// port.
func HasHostMode(p *clusterpb.Port) bool { return p.GetMode() == clusterpb.Port_MODE_HOST }

// IsMeshed reports whether every node answers on the port: not before it has
// its number, and never in host mode, which concerns the task's node alone.
func IsMeshed(p *clusterpb.Port) bool { return !HasHostMode(p) && p.GetPublished() != 0 }

// IsFixedOnHost reports whether the port is bound on the node itself under a
// number that the user chose, so that two tasks with it cannot be on one node
// at a time.
func IsFixedOnHost(p *clusterpb.Port) bool { return HasHostMode(p) && p.GetPublished() != 0 }
