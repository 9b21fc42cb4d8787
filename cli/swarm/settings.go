package swarm

import (
	"math"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/cli/flags"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// settings are the flags that change the cluster's own settings.
type settings []func(*clusterpb.ClusterSpec)

func (s *settings) addFlags(fs *pflag.FlagSet) {
	flags.Var(fs, "cert-expiry", "", "how long certificates of nodes are valid; 2160h by default, at least 1h", flags.AtLeast(time.Hour),
		func(d *durationpb.Duration) {
			*s = append(*s, func(c *clusterpb.ClusterSpec) { c.CertExpiry = d })
		})
	flags.Var(fs, "dispatcher-heartbeat", "", "time between heartbeats of nodes; 1s by default; a node is down after three", flags.AtLeast(100*time.Millisecond),
		func(d *durationpb.Duration) {
			*s = append(*s, func(c *clusterpb.ClusterSpec) { c.HeartbeatPeriod = d })
		})
	flags.Var(fs, "task-history-limit", "", "tasks kept for each slot, the live one included; 5 by default, negative keeps all", flags.Int(math.MinInt32, math.MaxInt32),
		func(n int64) {
			limit := int32(n)
			*s = append(*s, func(c *clusterpb.ClusterSpec) { c.TaskHistoryLimit = &limit })
		})
}

func (s *settings) apply(c *clusterpb.ClusterSpec) {
	for _, set := range *s {
		set(c)
	}
}
