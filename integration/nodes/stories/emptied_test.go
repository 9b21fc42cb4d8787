package stories

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/integration/load"
	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// emptyRunDir takes all away that is in a node's run directory, as a cleaner of
// temporary files or a mistaken command does. Unless mounts go first, they stay,
// and what is in the tasks' root file systems goes.
func emptyRunDir(t *testing.T, n *nodes.Node, mountsToo bool) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); mountsToo && strings.HasPrefix(fields[4], n.RunDir()+"/") {
			if err := unix.Unmount(fields[4], unix.MNT_DETACH); err != nil {
				t.Fatalf("unmount %s: %v", fields[4], err)
			}
		}
	}
	entries, err := os.ReadDir(n.RunDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		err := os.RemoveAll(filepath.Join(n.RunDir(), e.Name()))
		if err != nil && (mountsToo || !errors.Is(err, unix.EBUSY)) {
			t.Fatal(err)
		}
	}
}

// TestEmptiedRunDirectory empties the run directory of a node under load: its
// tasks serve on and no request fails, the node recovers by itself and through a
// restart, nothing runs twice, and nothing is left at the end.
func TestEmptiedRunDirectory(t *testing.T) {
	c := fleet.Start(t, 2, 1)
	first, other := c.Nodes[0], c.Nodes[1]
	c.Load(pack.Nginx("nginx:latest"))
	bare := other.Inventory()
	first.MustMuster("service", "create", "-q", "--replicas", "2", "--name", "web", "-p", "8111:80", "nginx:latest")
	answers := func(n int) {
		t.Helper()
		c.Eventually(fmt.Sprintf("%d replicas to answer", n), 30*time.Second, func() error {
			return answersEverywhere(c, c.Nodes, 8111, n)
		})
	}
	answers(2)
	tasks, masters := fleet.IDs(c.Running(first, "web")), c.PIDs("nginx: master")

	traffic := c.Request(c.Nodes, ":8111/whoami", load.Config{Clients: 2, Pause: 10 * time.Millisecond}, load.Config{Clients: 2, Pause: 10 * time.Millisecond})
	same := func(when string) {
		t.Helper()
		if now := fleet.IDs(c.Running(first, "web")); !slices.Equal(now, tasks) {
			t.Errorf("%s the tasks are %v, were %v", when, now, tasks)
		}
		if now := c.PIDs("nginx: master"); !slices.Equal(now[other.Name], masters[other.Name]) {
			t.Errorf("%s the node runs %v, ran %v", when, now[other.Name], masters[other.Name])
		}
	}
	for _, mountsToo := range []bool{false, true} {
		emptyRunDir(t, other, mountsToo)
		c.Eventually("the command line of the node to answer", 30*time.Second, func() error {
			if r := other.Muster("image", "ls"); r.Exit != 0 {
				return errors.New(r.Stderr)
			}
			return nil
		})
		c.AwaitReady(2)
		same(fmt.Sprintf("after it was emptied (mounts too: %t)", mountsToo))
	}
	first.MustMuster("service", "scale", "-q", "web=4")
	answers(4)
	first.MustMuster("service", "scale", "-q", "web=2")
	other.Stop()
	other.Start()
	c.AwaitReady(2)
	traffic.None()

	before := c.Running(first, "web")
	first.MustMuster("service", "update", "-q", "--force", "web")
	for _, task := range c.Running(first, "web") {
		if slices.Contains(fleet.IDs(before), task.ID) {
			t.Errorf("task %s was not replaced", task.Name)
		}
	}
	answers(2)
	first.MustMuster("service", "rm", "web")
	c.Eventually("the node to hold nothing of it", 30*time.Second, func() error {
		if left := other.Inventory().Minus(bare).OfTasks(); len(left) > 0 {
			return fmt.Errorf("it holds:\n%s", left)
		}
		return nil
	})
	for _, dir := range []string{"netns", "pipes", "exec", "containerd/s", "runc/muster"} {
		left, err := os.ReadDir(filepath.Join(other.RunDir(), dir))
		if err != nil && !os.IsNotExist(err) || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
	}
}

// TestServiceWithInit: through the daemon, a first process frees what loses its
// parent, passes the stop signal on, and leaves nothing.
func TestServiceWithInit(t *testing.T) {
	c := fleet.Start(t, 1, 1)
	first := c.Nodes[0]
	c.Load(pack.Busybox("busybox:latest"))
	bare := first.Inventory()
	const script = `trap 'echo asked to stop; exit 0' TERM
for i in $(seq 20); do (sleep 0.1 &); done
sleep 1
echo "$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ') zombies under $(cat /proc/1/comm)"
while :; do sleep 0.1; done`
	first.MustMuster("service", "create", "-q", "--init", "--name", "idle", "--stop-grace-period", "60s", "busybox:latest", "sh", "-c", script)
	printed := func(line string) {
		t.Helper()
		c.Eventually("it to print "+line, 20*time.Second, func() error {
			if out := first.MustMuster("service", "logs", "--raw", "idle"); !strings.Contains(out, line+"\n") {
				return errors.New(out)
			}
			return nil
		})
	}
	printed("0 zombies under muster-init")
	began := time.Now()
	first.MustMuster("service", "update", "-q", "--force", "idle")
	printed("asked to stop")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the stop took %s: it was killed at the end of its grace period", took)
	}
	first.MustMuster("service", "rm", "idle")
	c.Eventually("nothing to be left of it", 30*time.Second, func() error {
		if left := first.Inventory().Minus(bare).OfTasks(); len(left) > 0 {
			return fmt.Errorf("left:\n%s", left)
		}
		return nil
	})
}
