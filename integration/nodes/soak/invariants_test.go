package soak

import (
	"fmt"
	"strings"
	"time"

	"github.com/muster/muster/integration/load"
	"github.com/muster/muster/integration/nodes"
)

// whole waits until the cluster is as if nothing had happened.
func (s *soak) whole() {
	s.t.Helper()
	for what, holds := range map[string]func() error{
		"every node to be ready":                   s.ready,
		"the replicas to answer through all nodes": s.answers,
		"each task to run once":                    s.once,
		"every node to find nothing wrong":         s.well,
	} {
		s.Eventually(what, whole, holds)
	}
	s.Eventually("every node to be ready", whole, s.ready)
}

// ready holds when every node that tells has every node ready.
func (s *soak) ready() error {
	for _, n := range s.Nodes[:managers] {
		r := n.Muster("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
		if have := strings.Count(r.Stdout, " Ready\n"); r.Exit != 0 || have != members || strings.Count(r.Stdout, "\n") != members {
			return fmt.Errorf("%s says: %s%s", n.Name, r.Stdout, r.Stderr)
		}
	}
	return nil
}

// answers holds when all replicas, and no others, answer through every node.
func (s *soak) answers() error {
	for _, n := range s.Nodes {
		seen := make(map[string]bool)
		for range 3 * s.replicas {
			body, err := s.Clients[0].Get(fmt.Sprintf("http://%s:%d/whoami", n.Addr, port))
			if err != nil {
				return fmt.Errorf("through %s: %w", n.Name, err)
			}
			replica, _, _ := strings.Cut(body, " ")
			seen[replica] = true
		}
		if len(seen) != s.replicas {
			return fmt.Errorf("%d replicas answer through %s, want %d", len(seen), n.Name, s.replicas)
		}
	}
	return nil
}

// once holds when the nodes run what they should and nothing beside it.
func (s *soak) once() error {
	for command, want := range map[string]int{"nginx: master": s.replicas, "sleep 1000000": 1} {
		have := 0
		pids := s.PIDs(command)
		for _, of := range pids {
			have += len(of)
		}
		if have != want {
			return fmt.Errorf("%d processes %q run, want %d: %v", have, command, want, pids)
		}
	}
	return nil
}

// well holds when no node finds a fault of its own.
func (s *soak) well() error {
	for _, n := range s.Nodes {
		if r := n.Muster("node", "doctor"); r.Exit != 0 {
			return fmt.Errorf("%s says: %s%s", n.Name, r.Stdout, r.Stderr)
		}
	}
	return nil
}

// request asks the service through nodes until the returned function is
// called, which fails the test if a request failed.
func (s *soak) request(through []*nodes.Node) (stop func()) {
	var urls []string
	for _, n := range through {
		urls = append(urls, fmt.Sprintf("http://%s:%d/quiet", n.Addr, port))
	}
	single := load.Start(load.Config{URLs: urls, Clients: 2, Dial: s.Clients[0].Dial, Timeout: 10 * time.Second, Pause: time.Millisecond})
	kept := load.Start(load.Config{URLs: urls, Clients: 2, KeepAlive: true, Dial: s.Clients[1].Dial, Timeout: 10 * time.Second, Pause: time.Millisecond})
	return func() {
		s.t.Helper()
		for _, g := range []*load.Generator{single, kept} {
			if r := g.Stop(); r.Failures > 0 {
				s.t.Errorf("requests failed: %s", r)
			}
		}
	}
}
