package stories

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/muster/muster/integration/load"
	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// keptPerSingle is how many kept-alive requests are asked for with each of those with a connection of its own.
const keptPerSingle = 2.5

// least is how many requests with a connection each are made during every
// step: MUSTER_REQUESTS, or as many as there is time for.
func least() uint64 {
	n, err := strconv.ParseUint(os.Getenv("MUSTER_REQUESTS"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// step is something that is done on purpose, and ends so many tasks.
type step struct {
	name  string
	stops uint64
	do    func()
}

// startTraffic requests the service at address, :PORT/PATH, through nodes.
func startTraffic(c *fleet.Fleet, through []*nodes.Node, address string) *fleet.Traffic {
	return c.Request(through, address, load.Config{Clients: 8}, load.Config{Clients: 4})
}

// during takes steps one after the other, each a test of its own, while the
// service at address, :PORT/PATH on every node, is requested and other work
// keeps every core busy. Each is repeated until enough was requested meanwhile.
func during(t *testing.T, c *fleet.Fleet, address string, steps []step) {
	t.Helper()
	contend(t)
	tr := startTraffic(c, c.Nodes, address)
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			single, kept, times := tr.Single.SoFar(), tr.Kept.SoFar(), uint64(0)
			for enough := false; !enough; times++ {
				s.do()
				one, more := tr.Single.SoFar(), tr.Kept.SoFar()
				enough = t.Failed() || one.Requests-single.Requests >= least() && float64(more.Requests-kept.Requests) >= keptPerSingle*float64(least())
			}
			one, more := tr.Single.SoFar(), tr.Kept.SoFar()
			failed := one.Failures - single.Failures + more.Failures - kept.Failures
			t.Logf("%d times in %s: %d requests with a connection each, %d kept alive, %d failed",
				times, (one.Elapsed - single.Elapsed).Round(10*time.Millisecond), one.Requests-single.Requests, more.Requests-kept.Requests, failed)
			if failed > 0 {
				t.Errorf("%d requests failed: %q, %q", failed, one.Examples, more.Examples)
			}
			// A server that is stopped closes what is kept alive. Nobody else does.
			if n := more.Closed - kept.Closed; n > times*s.stops*tr.Connections {
				t.Errorf("%d kept-alive connections were closed, %d tasks stopped", n, times*s.stops)
			}
		})
	}
	tr.None()
}

// contend keeps the machine's cores busy until the test ends.
func contend(t *testing.T) {
	t.Helper()
	for range 4 {
		spin := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
		if err := spin.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := spin.Wait(); err == nil {
				t.Error("what kept the cores busy ended")
			}
		})
	}
}

// TestPlannedActionsDropNothing: whatever is done on purpose to a service or
// to a node, no request is lost, with a health check and without.
func TestPlannedActionsDropNothing(t *testing.T) {
	c := fleet.Start(t, 3, 3)
	c.Load(pack.Nginx("nginx:latest"))
	for _, check := range []struct {
		name  string
		flags []string
		steps func(t *testing.T, c *fleet.Fleet) []step
	}{
		{"checked", []string{"--health-http", "80", "--health-start-interval", "200ms", "--health-start-period", "10s"}, planned},
		{"unchecked", nil, func(t *testing.T, c *fleet.Fleet) []step {
			t.Helper()
			return planned(t, c)[2:] // a daemon's restart knows no health check
		}},
	} {
		t.Run(check.name, func(t *testing.T) {
			first := c.Nodes[0]
			first.MustMuster(append(append([]string{
				"service", "create", "-q", "--replicas", "4", "--name", "web", "-p", "8111:80",
				"--update-monitor", "0s", "--rollback-monitor", "0s", "--drain-timeout", "5s",
			}, check.flags...), "nginx:latest")...)
			during(t, c, ":8111/quiet", check.steps(t, c))
			first.MustMuster("service", "rm", "web")
		})
	}
}

// planned are the actions on a service "web" of four replicas.
func planned(t *testing.T, c *fleet.Fleet) []step {
	t.Helper()
	first, version := c.Nodes[0], 0
	update := func(args ...string) func() {
		return func() {
			version++
			first.MustMuster(append(append([]string{"service", "update", "-q", "--env-add", fmt.Sprintf("V=%d", version)}, args...), "web")...)
		}
	}
	return []step{
		{"restart a daemon", 0, func() {
			c.Nodes[1].Stop()
			c.Nodes[1].Start()
			c.AwaitReady(3)
		}},
		{"change the leader", 0, func() {
			leader := leaderOf(t, c) // a planned stop hands leadership over
			leader.Stop()
			leader.Start()
			c.AwaitReady(3)
		}},
		{"update stop-first", 4, update("--update-order", "stop-first", "--update-parallelism", "2")},
		{"update start-first", 4, update("--update-order", "start-first", "--update-parallelism", "1")},
		{"update and rollback", 8, func() {
			update()()
			first.MustMuster("service", "rollback", "-q", "web")
		}},
		{"scale to 10, 2 and 4", 8, func() {
			for _, n := range []string{"10", "2", "4"} {
				first.MustMuster("service", "scale", "web="+n)
			}
		}},
		{"drain a node", 4, func() {
			first.MustMuster("node", "update", "--availability", "drain", "--wait", c.Nodes[2].Name)
			first.MustMuster("node", "update", "--availability", "active", c.Nodes[2].Name)
		}},
	}
}
