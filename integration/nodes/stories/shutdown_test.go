package stories

import (
	"testing"

	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// TestShutdownsDropNothing reboots machines one after the other, the leader's
// too, while others pass requests on to their tasks.
func TestShutdownsDropNothing(t *testing.T) {
	c := fleet.Start(t, 3, 3)
	c.Load(pack.Nginx("nginx:latest"))
	first := c.Nodes[0]
	first.MustMuster("service", "create", "-q", "--replicas", "3", "--name", "web", "-p", "8111:80",
		"--update-monitor", "0s", "--drain-timeout", "5s", "nginx:latest")
	tr := startTraffic(c, c.Nodes[:1], ":8111/quiet")
	for _, node := range c.Nodes[1:] {
		before := tr.Requests()
		node.Shutdown()
		t.Logf("%s was shut down during %d requests", node.Name, tr.Requests()-before)
		c.AwaitReady(2)
		c.AwaitRunning("web", 3)
		node.Start()
		c.AwaitReady(3)
	}
	tr.None()
}
