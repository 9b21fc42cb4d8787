package spec

import (
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// ValidateCluster refuses settings the cluster could not work with.
func ValidateCluster(c *clusterpb.ClusterSpec) error {
	if d := HeartbeatPeriod(c); d < 100*time.Millisecond || d > time.Minute {
		return invalid("heartbeat period %s: use 100ms to 1m", d)
	}
	if d := CertExpiry(c); d < time.Hour {
		return invalid("certificate expiry %s: at least 1h", d)
	}
	return nil
}

// ValidateNode refuses labels that no constraint could name.
func ValidateNode(n *clusterpb.NodeSpec) error {
	return ValidateNodeLabels(n.GetLabels())
}
