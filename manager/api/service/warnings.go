package service

import (
	"cmp"
	"fmt"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
)

// warnings are what a user should know of a spec that is taken all the same.
func warnings(s *clusterpb.ServiceSpec) []string {
	return append(hostPortWarnings(s), monitorWarnings(s)...)
}

// monitorWarnings tells that a health check needs longer to call a task
// unhealthy than a rollout watches it. What an image's own check says is not
// known here. A start period does not count: a task runs once it is healthy.
func monitorWarnings(s *clusterpb.ServiceSpec) (warnings []string) {
	h := pod.Main(s.GetTask()).GetHealth()
	if !spec.Checks(h) {
		return nil
	}
	interval := cmp.Or(h.GetInterval().AsDuration(), spec.DefaultHealthInterval)
	retries := cmp.Or(h.GetRetries(), spec.DefaultHealthRetries)
	needs := spec.Times(interval, retries)
	for _, c := range []struct {
		flag string
		cfg  *clusterpb.UpdateConfig
	}{{"update", s.GetUpdate()}, {"rollback", s.GetRollback()}} {
		if watched := spec.Monitor(c.cfg); watched < needs {
			warnings = append(warnings, fmt.Sprintf(
				"the %s monitor period of %s is shorter than the %s that the health check needs to call a task unhealthy (--health-interval %s, --health-retries %d): "+
					"what fails later than that is not noticed (--%[1]s-monitor)", c.flag, watched, needs, interval, retries))
		}
	}
	return warnings
}
