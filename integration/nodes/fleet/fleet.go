// Package fleet makes a cluster of the nodes of a rack, for stories and
// benchmarks.
package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/pack"
)

// Converge bounds a wait for a service. It is generous: two cores run three
// nodes here.
const Converge = 90 * time.Second

// Fleet is a rack whose nodes are one cluster.
type Fleet struct {
	*nodes.Rack
	t nodes.T
}

// Start makes a cluster of n nodes, the first of which are managers.
func Start(t nodes.T, n, managers int, flags ...string) *Fleet {
	t.Helper()
	return Make(nodes.Build(t, nodes.Config{Nodes: n, Clients: 2, Flags: flags}), t, managers)
}

// Make starts the nodes of a rack and makes them a cluster, the first of which
// are managers.
func Make(rack *nodes.Rack, t nodes.T, managers int) *Fleet {
	t.Helper()
	f := &Fleet{Rack: rack, t: t}
	rack.Start()
	first := f.Nodes[0]
	first.MustMuster("swarm", "init", "--advertise-addr", first.Addr.String())
	for i, node := range f.Nodes[1:] {
		role := "worker"
		if i+1 < managers {
			role = "manager"
		}
		f.Join(node, role)
	}
	f.AwaitReady(len(f.Nodes))
	return f
}

// Join makes the node a member by a token of the first node.
func (f *Fleet) Join(node *nodes.Node, role string) {
	f.t.Helper()
	first := f.Nodes[0]
	token := strings.TrimSpace(first.MustMuster("swarm", "join-token", "-q", role))
	node.MustMuster("swarm", "join", "--token", token, "--advertise-addr", node.Addr.String(), first.Addr.String()+":2377")
}

// AwaitReady waits until n nodes are ready.
func (f *Fleet) AwaitReady(n int) {
	f.t.Helper()
	f.Eventually(fmt.Sprintf("%d nodes to be ready", n), 30*time.Second, func() error {
		out := f.Nodes[0].MustMuster("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
		if have := strings.Count(out, " Ready\n"); have != n {
			return fmt.Errorf("%d are:\n%s", have, out)
		}
		return nil
	})
}

// Task is what "service ps" says of a task.
type Task struct {
	ID, Name, Node, DesiredState, CurrentState, Error string
}

// Running returns the service's tasks that run and should, as a node tells.
func (f *Fleet) Running(from *nodes.Node, service string) (tasks []Task) {
	f.t.Helper()
	out := from.MustMuster("service", "ps", "--no-trunc", "--filter", "desired-state=running", "--format", "json", service)
	for line := range strings.Lines(out) {
		var one Task
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			f.t.Fatalf("service ps printed %q: %v", line, err)
		}
		if strings.HasPrefix(one.CurrentState, "Running") {
			tasks = append(tasks, one)
		}
	}
	return tasks
}

// AwaitRunning waits until n tasks of the service run, none of them on one of
// the nodes given.
func (f *Fleet) AwaitRunning(service string, n int, notOn ...*nodes.Node) {
	f.t.Helper()
	from := f.Nodes[0]
	f.Eventually(fmt.Sprintf("%d tasks of %s to run", n, service), Converge, func() error {
		have := f.Running(from, service)
		for _, bad := range notOn {
			if slices.ContainsFunc(have, func(t Task) bool { return t.Node == bad.Name }) {
				return fmt.Errorf("some run on %s: %v", bad.Name, have)
			}
		}
		if len(have) != n {
			return fmt.Errorf("%d run:\n%s", len(have), from.MustMuster("service", "ps", service))
		}
		return nil
	})
}

// Load packs an image and gives it to nodes, all when none is named.
func (f *Fleet) Load(image pack.Image, to ...*nodes.Node) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	path, err := pack.Debian(ctx, pack.DefaultCache(), image)
	if err != nil {
		f.t.Fatalf("pack %s: %v", image.Name, err)
	}
	f.LoadFile(path, to...)
}

// LoadFile gives the image in an archive to nodes, all when none is named.
func (f *Fleet) LoadFile(path string, to ...*nodes.Node) {
	f.t.Helper()
	if len(to) == 0 {
		to = f.Nodes
	}
	for _, node := range to {
		node.MustMuster("image", "load", "-i", path)
	}
}

// IDs are the tasks' ids, sorted.
func IDs(tasks []Task) (ids []string) {
	for _, t := range tasks {
		ids = append(ids, t.ID)
	}
	slices.Sort(ids)
	return ids
}

// PIDs returns the processes of each node whose command line begins so.
func (f *Fleet) PIDs(command string) map[string][]int {
	f.t.Helper()
	all := make(map[string][]int)
	for _, node := range f.Nodes {
		procs, err := node.Processes()
		if err != nil {
			f.t.Fatalf("processes of %s: %v", node.Name, err)
		}
		found := make(map[int]bool)
		for _, p := range procs {
			// What it forked bears its name until it takes one of its own.
			if strings.HasPrefix(p.String(), command) && !found[p.Parent] {
				found[p.PID] = true
				all[node.Name] = append(all[node.Name], p.PID)
			}
		}
		slices.Sort(all[node.Name])
	}
	return all
}
