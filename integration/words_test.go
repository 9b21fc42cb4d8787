package integration_test

import (
	"context"
	"slices"
	"testing"

	"github.com/muster/muster/integration/cluster"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// ids returns the ids of tasks, sorted.
func ids(tasks []*clusterpb.Task) (out []string) {
	for _, t := range tasks {
		out = append(out, t.GetId())
	}
	slices.Sort(out)
	return out
}

// contains reports whether all of want are among have.
func contains(have []string, want ...string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// started is how many containers were ever started.
func started(c *cluster.Cluster) (n int) {
	for _, node := range c.Nodes {
		n += node.Runtime.Count("Start", "")
	}
	return n
}

// scale sets the replicas of a service.
func scale(ctx context.Context, t *testing.T, c *cluster.Cluster, service string, replicas uint32) {
	t.Helper()
	if _, err := c.Control().ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: service, Replicas: replicas}); err != nil {
		t.Fatal(err)
	}
}
