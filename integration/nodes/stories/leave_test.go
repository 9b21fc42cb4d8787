package stories

import (
	"fmt"
	"testing"

	"github.com/muster/muster/integration/nodes/fleet"
)

// TestLeavingDropsNothing has a worker and a manager leave while others pass
// requests on to their tasks.
func TestLeavingDropsNothing(t *testing.T) {
	c := fleet.Start(t, 4, 3)
	first := c.Nodes[0]
	slow(t, c)
	first.MustMuster("service", "create", "-q", "--replicas", "4", "--name", "slow", "-p", "8112:8080", "--env", "START_DELAY=0s",
		"--health-http", "8080/health", "--health-start-interval", "200ms", "--health-start-period", "10s", "--drain-timeout", "5s", "slow:latest")
	tr := startTraffic(c, c.Nodes[:2], ":8112/")
	for _, leaving := range c.Nodes[2:] {
		before := tr.Requests()
		leaving.MustMuster("swarm", "leave")
		t.Logf("%s left during %d requests", leaving.Name, tr.Requests()-before)
		leaving.Stop()
		c.Eventually("nothing to be left of "+leaving.Name, fleet.Converge, func() error {
			if left := leaving.Leftovers(); len(left) > 0 {
				return fmt.Errorf("there is\n%s", left)
			}
			return nil
		})
	}
	c.AwaitReady(2)
	c.AwaitRunning("slow", 4)
	c.Eventually("all replicas to answer", fleet.Converge, func() error {
		seen := make(map[string]bool)
		for range 12 {
			body, err := c.Clients[0].Get(fmt.Sprintf("http://%s:8112/", c.Nodes[1].Addr))
			if err != nil {
				return err
			}
			seen[body] = true
		}
		if len(seen) != 4 {
			return fmt.Errorf("%d answer", len(seen))
		}
		return nil
	})
	tr.None()
}
