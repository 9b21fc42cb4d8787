package stories

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/pack"
)

// convergeTimeout bounds a command that waits for a service. It is generous:
// two cores run three nodes here.
const convergeTimeout = 90 * time.Second

// cluster is a rack whose nodes are one cluster.
type cluster struct {
	*nodes.Rack
	t testing.TB
}

// start makes a cluster of n nodes, the first managers of which are managers.
func start(t testing.TB, n, managers int, flags ...string) *cluster {
	t.Helper()
	c := &cluster{Rack: nodes.Build(t, nodes.Config{Nodes: n, Flags: flags}), t: t}
	var wg sync.WaitGroup
	for _, node := range c.Nodes {
		wg.Go(node.Start)
	}
	wg.Wait()
	first := c.Nodes[0]
	first.MustMuster("swarm", "init", "--advertise-addr", first.Addr.String())
	for i, node := range c.Nodes[1:] {
		role := "worker"
		if i+1 < managers {
			role = "manager"
		}
		c.join(node, role)
	}
	c.Eventually("all nodes to be ready", 20*time.Second, func() error {
		return c.nodesAre("Ready", n)
	})
	return c
}

// join makes the node a member by a token of the first node.
func (c *cluster) join(node *nodes.Node, role string) {
	c.t.Helper()
	first := c.Nodes[0]
	token := strings.TrimSpace(first.MustMuster("swarm", "join-token", "-q", role))
	node.MustMuster("swarm", "join", "--token", token, "--advertise-addr", node.Addr.String(), first.Addr.String()+":2377")
}

// Eventually waits for ok to return nil.
func (c *cluster) Eventually(what string, timeout time.Duration, ok func() error) {
	c.t.Helper()
	nodes.Eventually(c.t, what, timeout, ok)
}

// nodesAre says what is wrong until n nodes have the status.
func (c *cluster) nodesAre(status string, n int) error {
	out := c.Nodes[0].MustMuster("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
	have := 0
	for line := range strings.Lines(out) {
		if strings.HasSuffix(strings.TrimSpace(line), " "+status) {
			have++
		}
	}
	if have != n {
		return fmt.Errorf("%d of %d nodes are %s:\n%s", have, n, status, out)
	}
	return nil
}

// task is what "service ps" says of a task that should run.
type task struct {
	ID, Name, Node, DesiredState, CurrentState, Error string
}

// running returns the service's tasks that run.
func (c *cluster) running(from *nodes.Node, service string) (tasks []task) {
	c.t.Helper()
	out := from.MustMuster("service", "ps", "--no-trunc", "--filter", "desired-state=running", "--format", "json", service)
	for line := range strings.Lines(out) {
		var one task
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			c.t.Fatalf("service ps printed %q: %v", line, err)
		}
		if strings.HasPrefix(one.CurrentState, "Running") {
			tasks = append(tasks, one)
		}
	}
	return tasks
}

// healthy says what is wrong until n tasks of the service run.
func (c *cluster) healthy(from *nodes.Node, service string, n int) error {
	if have := c.running(from, service); len(have) != n {
		return fmt.Errorf("%d of %d tasks run:\n%s", len(have), n, from.MustMuster("service", "ps", service))
	}
	return nil
}

// image packs one of the images that the stories run.
func image(t testing.TB, image pack.Image) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	path, err := pack.Debian(ctx, pack.DefaultCache(), image)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// load gives an image to a node.
func (c *cluster) load(node *nodes.Node, path string) {
	c.t.Helper()
	node.MustMuster("image", "load", "-i", path)
}

// file writes a file for one test.
func file(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
