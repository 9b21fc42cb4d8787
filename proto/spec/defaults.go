package spec

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// What an unset field means. Where Docker has a default, it is Docker's.
const (
	DefaultStopGracePeriod     = 10 * time.Second
	DefaultDrainTimeout        = 10 * time.Second
	DefaultRestartDelay        = 5 * time.Second
	DefaultRestartMaxDelay     = 5 * time.Minute
	DefaultMonitor             = 5 * time.Second
	DefaultHealthInterval      = 30 * time.Second
	DefaultHealthTimeout       = 30 * time.Second
	DefaultHealthStartInterval = 5 * time.Second
	DefaultHealthRetries       = 3
	DefaultProgressDeadline    = 10 * time.Minute
	DefaultParallelism         = 1
	DefaultHistoryLimit        = 5
	DefaultHeartbeatPeriod     = time.Second
	DefaultCertExpiry          = 90 * 24 * time.Hour
	DefaultDataPathPort        = 4789
	DefaultControlPort         = 2377
	DefaultGossipPort          = 7946
)

// DefaultAddrPool is where networks are cut from. It avoids the low half of
// 10.0.0.0/8, where most people number their machines.
const DefaultAddrPool = "10.128.0.0/9"

// HeartbeatLease is how many heartbeat periods a node may miss.
const HeartbeatLease = 3

func or(d *durationpb.Duration, unset time.Duration) time.Duration {
	if d == nil {
		return unset
	}
	return d.AsDuration()
}

// StopGracePeriod is the wait between the stop signal and the kill.
func StopGracePeriod(c *clusterpb.ContainerSpec) time.Duration {
	return or(c.GetStopGracePeriod(), DefaultStopGracePeriod)
}

// DrainTimeout bounds how long established connections may go on before the stop signal.
func DrainTimeout(c *clusterpb.ContainerSpec) time.Duration {
	return or(c.GetDrainTimeout(), DefaultDrainTimeout)
}

// Checks reports whether h has anything to check.
func Checks(h *clusterpb.HealthCheck) bool {
	if h.GetHttp() != "" || h.GetTcp() != 0 {
		return true
	}
	return len(h.GetTest()) > 0 && h.GetTest()[0] != "NONE"
}

// RestartDelay is the wait before the first restart in a row.
func RestartDelay(r *clusterpb.RestartPolicy) time.Duration {
	return or(r.GetDelay(), DefaultRestartDelay)
}

// RestartMaxDelay caps the doubling of the restart delay.
func RestartMaxDelay(r *clusterpb.RestartPolicy) time.Duration {
	return max(RestartDelay(r), or(r.GetMaxDelay(), DefaultRestartMaxDelay))
}

// Parallelism is how many slots change at a time; 0 is all.
func Parallelism(u *clusterpb.UpdateConfig) uint32 {
	if u == nil || u.Parallelism == nil {
		return DefaultParallelism
	}
	return u.GetParallelism()
}

// Monitor is how long after running a failure still counts.
func Monitor(u *clusterpb.UpdateConfig) time.Duration { return or(u.GetMonitor(), DefaultMonitor) }

// ProgressDeadline is how long a slot may take to run.
func ProgressDeadline(u *clusterpb.UpdateConfig) time.Duration {
	return or(u.GetProgressDeadline(), DefaultProgressDeadline)
}

// HistoryLimit is how many tasks a slot keeps; negative keeps all.
func HistoryLimit(c *clusterpb.ClusterSpec) int32 {
	if c == nil || c.TaskHistoryLimit == nil {
		return DefaultHistoryLimit
	}
	return c.GetTaskHistoryLimit()
}

// HeartbeatPeriod of the nodes.
func HeartbeatPeriod(c *clusterpb.ClusterSpec) time.Duration {
	return or(c.GetHeartbeatPeriod(), DefaultHeartbeatPeriod)
}

// LongestCertExpiry is how long any certificate of the cluster can be valid:
// some may have been issued before the setting was lowered.
func LongestCertExpiry(c *clusterpb.Cluster) time.Duration {
	return max(c.GetLongestCertExpiry().AsDuration(), CertExpiry(c.GetSpec()))
}

// CertExpiry is how long a node's certificate is valid.
func CertExpiry(c *clusterpb.ClusterSpec) time.Duration {
	return or(c.GetCertExpiry(), DefaultCertExpiry)
}
