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
	flags.Var(fs, "cert-expiry", "", "validity of node certificates, at least 1h", flags.AtLeast(time.Hour),
		func(d *durationpb.Duration) {
			*s = append(*s, func(c *clusterpb.ClusterSpec) { c.CertExpiry = d })
		})
	flags.Var(fs, "dispatcher-heartbeat", "", "time between heartbeats of a node; it is down after missing three", flags.AtLeast(100*time.Millisecond),
		func(d *durationpb.Duration) {
			*s = append(*s, func(c *clusterpb.ClusterSpec) { c.HeartbeatPeriod = d })
		})
	flags.Var(fs, "task-history-limit", "", "number of tasks to keep for each slot, including the current one; negative keeps all", flags.Int(math.MinInt32, math.MaxInt32),
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

// settingsByDefault tells what the settings of a new cluster are.
func settingsByDefault(fs *pflag.FlagSet) {
	for name, text := range map[string]string{"cert-expiry": "2160h", "dispatcher-heartbeat": "1s", "task-history-limit": "5"} {
		flags.Default(fs.Lookup(name), text)
	}
}
