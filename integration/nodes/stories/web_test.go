package stories

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// answersEverywhere says what is wrong until n replicas answer through every
// node, to a client outside, whose address they see, and to each node itself.
func answersEverywhere(c *fleet.Fleet, through []*nodes.Node, port, n int) error {
	client := c.Clients[0]
	for _, node := range through {
		for _, via := range []struct {
			from *nodes.Namespace
			host string
			seen string
		}{
			{&client.Namespace, node.Addr.String(), client.Addr.String()},
			{&node.Namespace, node.Addr.String(), node.Addr.String()},
			{&node.Namespace, "127.0.0.1", ""},
			{&node.Namespace, "localhost", ""},
		} {
			url := fmt.Sprintf("http://%s:%d/whoami", via.host, port)
			answers, err := fleet.Ask(via.from, url, 3*n)
			if err != nil {
				return fmt.Errorf("%s from %s: %w", url, via.from.Name, err)
			}
			if got := fleet.Replicas(answers); got != n {
				return fmt.Errorf("%s from %s: %d replicas answered, want %d: %v", url, via.from.Name, got, n, answers)
			}
			for _, a := range answers {
				if via.seen != "" && a.Client != via.seen {
					return fmt.Errorf("%s from %s: a replica saw %s, want %s", url, via.from.Name, a.Client, via.seen)
				}
			}
		}
	}
	return nil
}

// TestThreeReplicasOnThreeNodes is one cluster that things happen to: every
// part leaves three replicas that answer everywhere.
func TestThreeReplicasOnThreeNodes(t *testing.T) {
	c := fleet.Start(t, 3, 3)
	first := c.Nodes[0]
	c.Load(pack.Nginx("nginx:latest"), first)
	bare := make(map[*nodes.Node]nodes.Inventory)
	for _, node := range c.Nodes {
		bare[node] = node.Inventory()
	}
	first.MustMuster("service", "create", "--replicas", "3", "--name", "web-server", "-p", "8111:80",
		"--restart-delay", "0s", "-q", "nginx:latest")
	everywhere := func(t *testing.T) {
		t.Helper()
		c.AwaitRunning("web-server", 3)
		c.Eventually("three replicas to answer through every node", 10*time.Second, func() error {
			return answersEverywhere(c, c.Nodes, 8111, 3)
		})
	}
	t.Run("all answer", func(t *testing.T) { everywhere(t) })
	t.Run("ipv6", func(t *testing.T) {
		for _, node := range c.Nodes {
			answers, err := fleet.Ask(&c.Clients[0].Namespace, fmt.Sprintf("http://[%s]:8111/whoami", node.Addr6), 9)
			if err != nil {
				t.Fatal(err)
			}
			if fleet.Replicas(answers) != 3 || answers[0].Client != c.Clients[0].Addr6.String() {
				t.Errorf("through %s: %v", node.Name, answers)
			}
		}
	})
	t.Run("a killed container is replaced", func(t *testing.T) {
		before := c.Running(first, "web-server")
		kill(t, c.PIDs("nginx: master")[first.Name][0])
		c.Eventually("another task", fleet.Converge, func() error {
			if now := c.Running(first, "web-server"); len(now) == 3 && !slices.Equal(fleet.IDs(before), fleet.IDs(now)) {
				return nil
			}
			return fmt.Errorf("still %v", before)
		})
		everywhere(t)
	})
	t.Run("a killed containerd harms nothing", func(t *testing.T) {
		before := c.Running(first, "web-server")
		pids := c.PIDs("nginx: master")
		for _, node := range c.Nodes {
			node.KillContainerd()
		}
		everywhere(t)
		first.MustMuster("service", "scale", "-d", "web-server=4")
		c.AwaitRunning("web-server", 4)
		first.MustMuster("service", "scale", "-d", "web-server=3")
		c.AwaitRunning("web-server", 3)
		untouched(t, c, before, pids)
	})
	t.Run("a killed daemon harms nothing", func(t *testing.T) {
		before := c.Running(first, "web-server")
		pids := c.PIDs("nginx: master")
		for _, node := range c.Nodes {
			node.KillDaemon()
			if _, err := fleet.Ask(&c.Clients[0].Namespace, fmt.Sprintf("http://%s:8111/whoami", node.Addr), 6); err != nil {
				t.Errorf("while the daemon of %s is dead: %v", node.Name, err)
			}
			node.Start()
			c.AwaitReady(3)
		}
		everywhere(t)
		untouched(t, c, before, pids)
	})
	t.Run("a stopped daemon harms nothing", func(t *testing.T) {
		before := c.Running(first, "web-server")
		pids := c.PIDs("nginx: master")
		c.Nodes[2].Stop()
		c.Nodes[2].Start()
		everywhere(t)
		untouched(t, c, before, pids)
	})
	t.Run("a dead node is replaced", func(t *testing.T) {
		last := c.Nodes[2]
		before := c.Running(first, "web-server")
		last.Kill()
		began := time.Now()
		c.AwaitRunning("web-server", 3, last)
		t.Logf("three replicas %s after the node died", time.Since(began).Round(10*time.Millisecond))
		for _, was := range before {
			if was.Node != last.Name && !slices.ContainsFunc(c.Running(first, "web-server"), func(n fleet.Task) bool { return n.ID == was.ID }) {
				t.Errorf("task %s on %s was touched", was.Name, was.Node)
			}
		}
		if err := answersEverywhere(c, c.Nodes[:2], 8111, 3); err != nil {
			t.Error(err)
		}
		last.Start()
		c.AwaitReady(3)
		c.Eventually("three replicas to answer through every node", 10*time.Second, func() error {
			return answersEverywhere(c, c.Nodes, 8111, 3)
		})
	})
	t.Run("nothing is left of a removed service", func(t *testing.T) {
		first.MustMuster("service", "rm", "web-server")
		for _, node := range c.Nodes {
			c.Eventually("nothing of the service on "+node.Name, 60*time.Second, func() error {
				if left := node.Inventory().Minus(bare[node]); len(left) > 0 {
					return fmt.Errorf("still there:\n%s", left)
				}
				return nil
			})
		}
	})
	t.Run("nothing is left of a node that leaves", func(t *testing.T) {
		for _, node := range slices.Backward(c.Nodes) {
			args := []string{"swarm", "leave"}
			if node == first {
				args = append(args, "--force")
			}
			node.MustMuster(args...)
			node.Stop()
			if left := node.Leftovers(); len(left) > 0 {
				t.Errorf("left of %s:\n%s", node.Name, left)
			}
		}
	})
}

// untouched fails the test unless the same tasks run as the same processes.
func untouched(t *testing.T, c *fleet.Fleet, before []fleet.Task, pids map[string][]int) {
	t.Helper()
	if now := c.Running(c.Nodes[0], "web-server"); !slices.Equal(fleet.IDs(before), fleet.IDs(now)) {
		t.Errorf("tasks were replaced: %v became %v", before, now)
	}
	// What was scaled away may still be ending.
	c.Eventually("the processes of before", fleet.Converge, func() error {
		for node, is := range c.PIDs("nginx: master") {
			if were := pids[node]; !slices.Equal(were, is) {
				return fmt.Errorf("processes on %s were %v and are %v", node, were, is)
			}
		}
		return nil
	})
}

func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}
