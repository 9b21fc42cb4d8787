// Command demo shows a cluster of three nodes on one machine, each a network
// namespace with a daemon, a containerd and an address of its own: a service
// on it, its replicas answering through every node, a node lost and its
// replica back.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/pack"
)

const (
	directory = "/var/lib/muster-demo"
	// replicasBack bounds the wait for the replica of the lost node.
	replicasBack = 30 * time.Second
)

func main() {
	t := &stage{}
	if err := t.play(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func config() nodes.Config { return nodes.Config{Nodes: 3, Number: 0, Dir: directory, Keep: true} }

// play runs what the arguments say.
func (t *stage) play(args []string) (err error) {
	defer t.curtain(&err)
	switch {
	case len(args) == 1 && args[0] == "up":
		return t.up()
	case len(args) == 1 && args[0] == "down":
		return t.down()
	}
	return errors.New("use: demo up|down")
}

func (t *stage) down() error {
	rack, err := nodes.Attach(t, config())
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("There is no demo here.")
		return nil
	}
	if err != nil {
		return err
	}
	if err := rack.Close(); err != nil {
		return err
	}
	fmt.Println("The demo is gone: namespaces, processes, mounts, rules and directories.")
	return nil
}

func (t *stage) up() error {
	if rack, err := nodes.Attach(t, config()); err == nil {
		t.say("An earlier demo is in the way; taking it down.")
		if err := rack.Close(); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	t.say("Packing nginx from this distribution's packages.")
	image, err := pack.Debian(context.Background(), pack.DefaultCache(), pack.Nginx("nginx:latest"))
	if err != nil {
		return err
	}
	t.say("Starting three nodes: network namespaces with a daemon and a containerd each.")
	rack := nodes.Build(t, config())
	rack.Start()
	t.found(rack)
	t.serve(rack, image)
	t.lose(rack)
	t.farewell(rack)
	return nil
}

// found makes the three nodes one cluster of three managers.
func (t *stage) found(rack *nodes.Rack) {
	first := rack.Nodes[0]
	t.run(first, "swarm", "init", "--advertise-addr", first.Addr.String())
	token := strings.TrimSpace(first.MustMuster("swarm", "join-token", "-q", "manager"))
	for _, n := range rack.Nodes[1:] {
		t.run(n, "swarm", "join", "--token", token, "--advertise-addr", n.Addr.String(), first.Addr.String()+":2377")
	}
	rack.Eventually("all nodes to be ready", replicasBack, func() error {
		if out := first.MustMuster("node", "ls", "--format", "{{.Status}}"); strings.Count(out, "Ready") != len(rack.Nodes) {
			return fmt.Errorf("they are %s", strings.Join(strings.Fields(out), ", "))
		}
		return nil
	})
	t.run(first, "node", "ls")
}

// serve creates the service and asks for it through every node.
func (t *stage) serve(rack *nodes.Rack, image string) {
	first := rack.Nodes[0]
	t.say("The image is given to one node; the others fetch it from there.")
	t.run(first, "image", "load", "-i", image)
	t.run(first, "service", "create", "--replicas", "3", "--name", "web-server", "-p", "8111:80", "nginx:latest")
	t.run(first, "service", "ps", "web-server")
	t.ask(rack, rack.Nodes)
}

// ask requests the service through nodes and shows who answered and whom it saw.
func (t *stage) ask(rack *nodes.Rack, through []*nodes.Node) {
	client := rack.Clients[0]
	t.say(fmt.Sprintf("Requests from a client at %s. Each answer names the replica and the address it saw:", client.Addr))
	seen := make(map[string]bool)
	for _, n := range through {
		for range 3 {
			url := fmt.Sprintf("http://%s:8111/whoami", n.Addr)
			answer, err := client.Get(url)
			if err != nil {
				t.Fatalf("%s: %v", url, err)
			}
			replica, saw, _ := strings.Cut(answer, " ")
			fmt.Printf("  curl %-32s → replica %s saw %s\n", url, replica, saw)
			seen[replica] = true
			if saw != client.Addr.String() {
				t.Fatalf("the replica saw %s, not the client %s", saw, client.Addr)
			}
		}
	}
	if len(seen) != 3 {
		t.Fatalf("%d replicas answered, want 3", len(seen))
	}
	fmt.Println("  All three replicas answered.")
}

// lose powers the last node off and waits for its replica elsewhere.
func (t *stage) lose(rack *nodes.Rack) {
	last := rack.Nodes[len(rack.Nodes)-1]
	rest := rack.Nodes[:len(rack.Nodes)-1]
	t.say(last.Name + " loses its power.")
	began := time.Now()
	last.Kill()
	rack.Eventually("three replicas on the other nodes", replicasBack, func() error {
		out := rest[0].MustMuster("service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}} {{.CurrentState}}", "web-server")
		lines := slices.Collect(strings.Lines(out))
		up := slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
			return strings.HasPrefix(l, last.Name+" ") || !strings.Contains(l, " Running")
		})
		if len(up) != 3 {
			return fmt.Errorf("the tasks are:\n%s", out)
		}
		return nil
	})
	fmt.Printf("  Three replicas run again %.1f s later.\n", time.Since(began).Seconds())
	t.run(rest[0], "node", "ls")
	t.run(rest[0], "service", "ps", "web-server")
	t.ask(rack, rest)
}

func (t *stage) farewell(rack *nodes.Rack) {
	first := rack.Nodes[0]
	fmt.Printf(`
The cluster stays. Look around, as root:
  muster() { nsenter --net=%s env MUSTER_HOST=unix://%s bin/muster "$@"; }
  muster service ls
  muster swarm join-token worker   # what another node would join with
  nsenter --net=%s curl http://%s:8111/whoami
Stop it with:
  make demo-down
`, first.Path(), first.Socket(), rack.Clients[0].Path(), first.Addr)
}
