package stories

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// TestPartitionsAndLeaders cuts a worker off, then the leader.
func TestPartitionsAndLeaders(t *testing.T) {
	c := fleet.Start(t, 4, 3)
	first, worker := c.Nodes[0], c.Nodes[3]
	c.Load(pack.Busybox("busybox:latest"))
	bare := worker.Inventory()
	first.MustMuster("service", "create", "-q", "--replicas", "4", "--name", "idle", "--stop-grace-period", "1s", "busybox:latest", "sleep", "1000000")

	t.Run("a partitioned worker's task is replaced and the stale one stopped on return", func(t *testing.T) {
		before := c.Running(first, "idle")
		worker.Isolate()
		c.AwaitRunning("idle", 4, worker)
		if stale := c.PIDs("sleep 1000000")[worker.Name]; len(stale) != 1 {
			t.Errorf("the worker alone runs %d tasks, want the one it had: it must not stop what it cannot know to be replaced", len(stale))
		}
		for _, was := range before {
			if was.Node != worker.Name && !slices.Contains(fleet.IDs(c.Running(first, "idle")), was.ID) {
				t.Errorf("task %s on %s was touched", was.Name, was.Node)
			}
		}
		worker.Heal()
		c.AwaitReady(4)
		c.Eventually("the stale task to be gone", 30*time.Second, func() error {
			if left := worker.Inventory().Minus(bare).OfTasks(); len(left) > 0 {
				return fmt.Errorf("the worker still has:\n%s", left)
			}
			return nil
		})
	})

	t.Run("losing the leader stops no command", func(t *testing.T) {
		leader := leaderOf(t, c)
		others := slices.DeleteFunc(slices.Clone(c.Nodes[:3]), func(n *nodes.Node) bool { return n == leader })
		leader.KillDaemon()
		began := time.Now()
		others[0].MustMuster("service", "scale", "-d", "idle=6")
		t.Logf("the first write after the leader's death took %s", time.Since(began).Round(time.Millisecond))
		c.Eventually("six tasks", fleet.Converge, func() error {
			if have := c.Running(others[0], "idle"); len(have) != 6 {
				return fmt.Errorf("%d run", len(have))
			}
			return nil
		})
		leader.Start()
		c.AwaitReady(4)
		c.AwaitRunning("idle", 6)
	})

	t.Run("without a majority a write fails in time and changes nothing", func(t *testing.T) {
		c.Split(c.Nodes[1], c.Nodes[2])
		res := first.Muster("service", "scale", "-d", "idle=7")
		if res.Exit == 0 {
			t.Error("a manager without a majority took a write")
		}
		if !strings.Contains(res.Stderr, "leader") {
			t.Errorf("the error does not say why: %s", res.Stderr)
		}
		for _, n := range c.Nodes[1:3] {
			n.Heal()
		}
		c.AwaitReady(4)
		c.AwaitRunning("idle", 6)
	})
}

// leaderOf returns the node that leads.
func leaderOf(t *testing.T, c *fleet.Fleet) *nodes.Node {
	t.Helper()
	out := c.Nodes[0].MustMuster("node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}")
	for line := range strings.Lines(out) {
		name, status, _ := strings.Cut(strings.TrimSpace(line), " ")
		if status != "Leader" {
			continue
		}
		for _, n := range c.Nodes {
			if n.Name == name {
				return n
			}
		}
	}
	t.Fatalf("nobody leads:\n%s", out)
	return nil
}
