package stories

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// TestLoadedImageOutlivesItsNode: an image without a registry is loaded on one
// node, which is lost for good; then so is the next one that held it.
func TestLoadedImageOutlivesItsNode(t *testing.T) {
	c := fleet.Start(t, 4, 3)
	first := c.Nodes[0]
	c.Load(pack.Busybox("busybox:latest"), c.Nodes[2]) // a manager: workers do not decide what a name stands for
	holders := func() (list []*nodes.Node) {
		for _, n := range c.Nodes {
			if strings.TrimSpace(n.MustMuster("image", "ls", "-q", "busybox")) != "" {
				list = append(list, n)
			}
		}
		return list
	}
	twoHold := func() {
		t.Helper()
		c.Eventually("two nodes to hold the image", time.Minute, func() error {
			if have := holders(); len(have) < 2 {
				return fmt.Errorf("%d do", len(have))
			}
			return nil
		})
	}
	twoHold()
	lost := c.Nodes[2]
	lost.Isolate()
	whole := c.Nodes
	defer func() { c.Nodes = whole }() // the one that is lost is taken down with the others
	c.Nodes = append(c.Nodes[:2:2], c.Nodes[3])
	twoHold()
	first.MustMuster("service", "create", "-q", "--replicas", "3", "--stop-grace-period", "1s", "--name", "idle", "busybox:latest", "sleep", "1000000")
	c.AwaitRunning("idle", 3, lost)
}
