package stories

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// TestUnwellNode: a node that cannot do its work says so to everybody, gets no
// new tasks, keeps those it has, and is ready again by itself.
func TestUnwellNode(t *testing.T) {
	c := fleet.Start(t, 2, 1)
	first, other := c.Nodes[0], c.Nodes[1]
	c.Load(pack.Busybox("busybox:latest"))
	first.MustMuster("service", "create", "-q", "--replicas", "2", "--name", "idle", "--stop-grace-period", "1s", "busybox:latest", "sleep", "1000000")
	before := fleet.IDs(c.Running(first, "idle"))

	run := func(command string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := other.Output(ctx, "sh", "-ec", command)
		return err
	}
	signal := func(s unix.Signal) error {
		p, err := other.Process("containerd")
		if err != nil {
			return err
		}
		return unix.Kill(p.PID, s)
	}
	tests := []struct {
		name       string
		harm, heal func() error
		says       string
	}{
		{
			"another's tunnel has its number",
			func() error {
				// The daemon puts its device back within milliseconds: be faster once.
				return run("until ip link add other type vxlan id 4097 dstport 4789 2>/dev/null; do ip link del mu0 2>/dev/null || true; done")
			},
			func() error { return run("ip link del other") },
			"data plane: add device mu0",
		},
		{
			"containerd stands still",
			func() error { return signal(unix.SIGSTOP) },
			func() error { return signal(unix.SIGCONT) },
			"containerd: does not answer at",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.harm(); err != nil {
				t.Fatal(err)
			}
			c.Eventually("the node to be unwell", 30*time.Second, func() error {
				r := first.Muster("node", "ls")
				if !strings.Contains(r.Stdout, "Unwell") || !strings.Contains(r.Stderr, other.Name+": "+tt.says) {
					return fmt.Errorf("it says\n%s%s", r.Stdout, r.Stderr)
				}
				return nil
			})
			first.MustMuster("service", "scale", "idle=4")
			for _, task := range c.Running(first, "idle") {
				if task.Node == other.Name && !strings.Contains(strings.Join(before, " "), task.ID) {
					t.Errorf("task %s was placed on it", task.Name)
				}
			}
			if err := tt.heal(); err != nil {
				t.Fatal(err)
			}
			c.Eventually("the node to be ready", 60*time.Second, func() error {
				if r := first.Muster("node", "ls"); strings.Contains(r.Stdout, "Unwell") {
					return errors.New(r.Stdout + r.Stderr)
				}
				return nil
			})
			first.MustMuster("service", "scale", "idle=2")
		})
	}
}
