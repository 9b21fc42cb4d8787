package integration_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/muster/muster/integration/cluster"
)

// TestParallelEdits: who changes different fields of a service at once, through
// whichever manager, is never told that another was faster.
func TestParallelEdits(t *testing.T) {
	const rounds = 20
	cluster.Run(t, cluster.Config{Managers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		managers := c.Managers()
		for i := range rounds {
			edits := [][]string{
				{"service", "update", "-d", "--env-add", fmt.Sprintf("E%d=1", i), "web"},
				{"service", "update", "-d", "--label-add", fmt.Sprintf("l%d=1", i), "web"},
				{"service", "scale", "-d", fmt.Sprintf("web=%d", 2+i%2)},
			}
			var all sync.WaitGroup
			for n, edit := range edits {
				all.Go(func() {
					if out := managers[n].Muster(ctx, edit...); out.Status != 0 {
						t.Errorf("%v through %s: %s", edit, managers[n].Name, out.Err)
					}
				})
			}
			all.Wait()
		}
		s := c.Service("web").GetSpec()
		if env, labels := len(s.GetTask().GetContainers()[0].GetEnv()), len(s.GetLabels()); env != rounds || labels != rounds {
			t.Errorf("%d variables and %d labels landed, want %d each", env, labels, rounds)
		}
	})
}
