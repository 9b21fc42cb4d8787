package soak

import (
	"fmt"
	"strings"

	"github.com/muster/muster/integration/nodes/fleet"
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
		answers, err := fleet.Ask(&s.Clients[0].Namespace, fmt.Sprintf("http://%s:%d/whoami", n.Addr, port), 3*s.replicas)
		if err != nil {
			return fmt.Errorf("through %s: %w", n.Name, err)
		}
		if have := fleet.Replicas(answers); have != s.replicas {
			return fmt.Errorf("%d replicas answer through %s, want %d", have, n.Name, s.replicas)
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
