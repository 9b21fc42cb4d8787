package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/muster/muster/integration/cluster"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// TestMachineShutsDown: its tasks serve elsewhere before they stop, and the next
// start needs nobody's help.
func TestMachineShutsDown(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(_ context.Context, c *cluster.Cluster) {
		six(c)
		w1 := c.Nodes["w1"]
		least := 6
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- w1.ShutDown(time.Minute) }()
		status := func() *clusterpb.NodeStatus {
			n, _ := c.State().Node(w1.ID)
			return n.GetStatus()
		}
		c.Eventually("the node to be down", func() bool {
			least = min(least, len(c.Serving("web")))
			return status().GetState() == clusterpb.NodeStatus_STATE_DOWN
		})
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("it is down after %s, want as soon as it says so", took)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := status().GetMessage(); got != "its machine was shut down" {
			t.Errorf("it is down since %q", got)
		}
		if least < 6 {
			t.Errorf("only %d tasks served at a time while the machine shut down", least)
		}
		c.Heal(w1)
		c.Restart(w1)
		c.Eventually("the node to be ready", func() bool { return status().GetState() == clusterpb.NodeStatus_STATE_READY })
		c.CreateService("more", 3)
		c.Eventually("a task on it", func() bool {
			for _, task := range c.Serving("more") {
				if task.GetNodeId() == w1.ID {
					return true
				}
			}
			return false
		})
	})
}

// TestOnlyMachineShutsDown: there is no other place for its tasks. They are
// stopped, nobody waits, and they come back with the machine.
func TestOnlyMachineShutsDown(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 0, Mixed: true}, func(_ context.Context, c *cluster.Cluster) {
		c.CreateService("web", 2)
		c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
		m1 := c.Nodes["m1"]
		began := time.Now()
		if err := m1.ShutDown(time.Minute); err != nil || time.Since(began) > 30*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if n := m1.Runtime.Count("Signal", ""); n != 2 {
			t.Errorf("%d tasks were asked to stop, want 2", n)
		}
		c.Heal(m1)
		c.Restart(m1)
		c.Eventually("two tasks again", func() bool { return len(c.Serving("web")) == 2 })
	})
}
