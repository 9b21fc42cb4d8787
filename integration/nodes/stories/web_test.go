package stories

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/pack"
)

// asked is what nginx's /whoami answers: which replica, and whom it saw.
type asked struct{ replica, client string }

// ask requests /whoami n times from one machine and returns what was answered.
func ask(from *nodes.Namespace, url string, n int) (answers []asked, err error) {
	for range n {
		body, err := from.Get(url)
		if err != nil {
			return answers, err
		}
		replica, client, ok := strings.Cut(strings.TrimSpace(body), " ")
		if !ok {
			return answers, fmt.Errorf("%s answered %q", url, body)
		}
		answers = append(answers, asked{replica, client})
	}
	return answers, nil
}

// replicas counts the different ones.
func replicas(answers []asked) int {
	seen := make(map[string]bool)
	for _, a := range answers {
		seen[a.replica] = true
	}
	return len(seen)
}

// answersEverywhere says what is wrong until n replicas answer through every
// node, to a client outside, whose address they see, and to each node itself.
func (c *cluster) answersEverywhere(through []*nodes.Node, port, n int) error {
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
			answers, err := ask(via.from, url, 3*n)
			if err != nil {
				return fmt.Errorf("%s from %s: %w", url, via.from.Name, err)
			}
			if got := replicas(answers); got != n {
				return fmt.Errorf("%s from %s: %d replicas answered, want %d: %v", url, via.from.Name, got, n, answers)
			}
			for _, a := range answers {
				if via.seen != "" && a.client != via.seen {
					return fmt.Errorf("%s from %s: a replica saw %s, want %s", url, via.from.Name, a.client, via.seen)
				}
			}
		}
	}
	return nil
}

// TestThreeReplicasOnThreeNodes is one cluster that things happen to: every
// part leaves three replicas that answer everywhere.
func TestThreeReplicasOnThreeNodes(t *testing.T) {
	path := image(t, pack.Nginx("nginx:latest"))
	c := start(t, 3, 3)
	first := c.Nodes[0]
	c.load(first, path)
	bare := make(map[*nodes.Node]nodes.Inventory)
	for _, node := range c.Nodes {
		bare[node] = node.Inventory()
	}
	first.MustMuster("service", "create", "--replicas", "3", "--name", "web-server", "-p", "8111:80",
		"--restart-delay", "0s", "-q", "nginx:latest")
	everywhere := func(t *testing.T) {
		t.Helper()
		c.Eventually("three replicas", convergeTimeout, func() error { return c.healthy(first, "web-server", 3) })
		c.Eventually("three replicas to answer through every node", 10*time.Second, func() error {
			return c.answersEverywhere(c.Nodes, 8111, 3)
		})
	}
	t.Run("all answer", func(t *testing.T) { everywhere(t) })
	t.Run("ipv6", func(t *testing.T) {
		for _, node := range c.Nodes {
			answers, err := ask(&c.Clients[0].Namespace, fmt.Sprintf("http://[%s]:8111/whoami", node.Addr6), 9)
			if err != nil {
				t.Fatal(err)
			}
			if replicas(answers) != 3 || answers[0].client != c.Clients[0].Addr6.String() {
				t.Errorf("through %s: %v", node.Name, answers)
			}
		}
	})
	t.Run("a killed container is replaced", func(t *testing.T) {
		before := c.running(first, "web-server")
		kill(t, c.pids(t, "nginx: master")[first.Name][0])
		c.Eventually("another task", convergeTimeout, func() error {
			if now := c.running(first, "web-server"); len(now) == 3 && !sameTasks(before, now) {
				return nil
			}
			return fmt.Errorf("still %v", before)
		})
		everywhere(t)
	})
	t.Run("a killed containerd harms nothing", func(t *testing.T) {
		before := c.running(first, "web-server")
		pids := c.pids(t, "nginx: master")
		for _, node := range c.Nodes {
			node.KillContainerd()
		}
		everywhere(t)
		first.MustMuster("service", "scale", "-d", "web-server=4")
		c.Eventually("a fourth replica", convergeTimeout, func() error { return c.healthy(first, "web-server", 4) })
		first.MustMuster("service", "scale", "-d", "web-server=3")
		c.Eventually("three again", convergeTimeout, func() error { return c.healthy(first, "web-server", 3) })
		c.untouched(t, before, pids)
	})
	t.Run("a killed daemon harms nothing", func(t *testing.T) {
		before := c.running(first, "web-server")
		pids := c.pids(t, "nginx: master")
		for _, node := range c.Nodes {
			node.KillDaemon()
			if _, err := ask(&c.Clients[0].Namespace, fmt.Sprintf("http://%s:8111/whoami", node.Addr), 6); err != nil {
				t.Errorf("while the daemon of %s is dead: %v", node.Name, err)
			}
			node.Start()
			c.Eventually("all nodes to be ready", 20*time.Second, func() error { return c.nodesAre("Ready", 3) })
		}
		everywhere(t)
		c.untouched(t, before, pids)
	})
	t.Run("a stopped daemon harms nothing", func(t *testing.T) {
		before := c.running(first, "web-server")
		pids := c.pids(t, "nginx: master")
		c.Nodes[2].Stop()
		c.Nodes[2].Start()
		everywhere(t)
		c.untouched(t, before, pids)
	})
	t.Run("a dead node is replaced", func(t *testing.T) {
		last := c.Nodes[2]
		before := c.running(first, "web-server")
		last.Kill()
		began := time.Now()
		c.Eventually("its replica elsewhere", convergeTimeout, func() error {
			now := c.running(first, "web-server")
			if len(now) != 3 || slices.ContainsFunc(now, func(t task) bool { return t.Node == last.Name }) {
				return fmt.Errorf("%v", now)
			}
			return nil
		})
		t.Logf("three replicas %s after the node died", time.Since(began).Round(10*time.Millisecond))
		for _, was := range before {
			if was.Node != last.Name && !slices.ContainsFunc(c.running(first, "web-server"), func(n task) bool { return n.ID == was.ID }) {
				t.Errorf("task %s on %s was touched", was.Name, was.Node)
			}
		}
		if err := c.answersEverywhere(c.Nodes[:2], 8111, 3); err != nil {
			t.Error(err)
		}
		last.Start()
		c.Eventually("all nodes to be ready", 30*time.Second, func() error { return c.nodesAre("Ready", 3) })
		c.Eventually("three replicas to answer through every node", 10*time.Second, func() error {
			return c.answersEverywhere(c.Nodes, 8111, 3)
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

// pids returns the process ids of containers' main processes, by node.
func (c *cluster) pids(t *testing.T, name string) map[string][]int {
	t.Helper()
	all := make(map[string][]int)
	for _, node := range c.Nodes {
		procs, err := node.Processes()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range procs {
			if strings.HasPrefix(p.String(), name) {
				all[node.Name] = append(all[node.Name], p.PID)
			}
		}
		slices.Sort(all[node.Name])
	}
	return all
}

// untouched fails the test unless the same tasks run as the same processes.
func (c *cluster) untouched(t *testing.T, before []task, pids map[string][]int) {
	t.Helper()
	if now := c.running(c.Nodes[0], "web-server"); !sameTasks(before, now) {
		t.Errorf("tasks were replaced: %v became %v", before, now)
	}
	for node, were := range pids {
		if is := c.pids(t, "nginx: master")[node]; !slices.Equal(were, is) {
			t.Errorf("processes on %s were %v and are %v", node, were, is)
		}
	}
}

func sameTasks(a, b []task) bool {
	ids := func(list []task) (ids []string) {
		for _, t := range list {
			ids = append(ids, t.ID)
		}
		slices.Sort(ids)
		return ids
	}
	return slices.Equal(ids(a), ids(b))
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

