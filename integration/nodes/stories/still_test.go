package stories

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// TestNodeThatStandsStill: neither a containerd that hangs while the leader
// changes nor a disk that hangs while tasks come makes a node Down, which would
// cost it its tasks.
func TestNodeThatStandsStill(t *testing.T) {
	c := fleet.Make(nodes.Build(t, nodes.Config{Nodes: 4, Disk: 1 << 30}), t, 3)
	first, worker := c.Nodes[0], c.Nodes[3]
	c.Load(pack.Busybox("busybox:latest"))
	first.MustMuster("service", "create", "-q", "--replicas", "4", "--name", "idle", "--stop-grace-period", "1s", "busybox:latest", "sleep", "1000000")

	// lives fails the test if the worker is Down within the time that it takes to be so, three times over.
	lives := func(t *testing.T, by *nodes.Node, before []fleet.Task) {
		t.Helper()
		began := time.Now()
		c.Eventually("the node to be up for a while", time.Minute, func() error {
			r := by.Muster("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
			switch {
			case strings.Contains(r.Stdout, worker.Name+" Down"):
				t.Fatalf("after %s:\n%s", time.Since(began), r.Stdout)
			case time.Since(began) < 20*time.Second:
				return errors.New("it is up so far")
			}
			return nil
		})
		now := fleet.IDs(c.Running(by, "idle"))
		for _, task := range before {
			if task.Node == worker.Name && !slices.Contains(now, task.ID) {
				t.Errorf("%s does not run on it any more", task.Name)
			}
		}
	}

	t.Run("containerd hangs and the leader is killed", func(t *testing.T) {
		before := c.Running(first, "idle")
		containerd, err := worker.Process("containerd")
		if err != nil {
			t.Fatal(err)
		}
		leader := leaderOf(t, c)
		other := c.Nodes[(slices.Index(c.Nodes, leader)+1)%3]
		if err := unix.Kill(containerd.PID, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		leader.KillDaemon()
		lives(t, other, before)
		if err := unix.Kill(containerd.PID, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		leader.Start()
		c.AwaitReady(4)
	})

	t.Run("the disk hangs while a service is scaled", func(t *testing.T) {
		before := c.Running(first, "idle")
		if err := worker.Disk.Freeze(); err != nil {
			t.Fatal(err)
		}
		first.MustMuster("service", "scale", "-d", "idle=8")
		lives(t, first, before)
		if err := worker.Disk.Thaw(); err != nil {
			t.Fatal(err)
		}
		c.AwaitRunning("idle", 8)
		c.Eventually("all to run once", fleet.Converge, func() error {
			if n := len(slices.Concat(slices.Collect(maps.Values(c.PIDs("sleep 1000000")))...)); n != 8 {
				return fmt.Errorf("%d run", n)
			}
			return nil
		})
	})
}
