package stories

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
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

// traffic requests a service from outside, kept alive and with a connection
// for each request.
type traffic struct {
	t      *testing.T
	kept   *load.Generator
	single *load.Generator
	// conns is how many kept-alive connections there are at a time.
	conns uint64
}

func startTraffic(t *testing.T, c *fleet.Fleet, through []*nodes.Node, address string) *traffic {
	t.Helper()
	const singles, clients = 8, 4
	var urls []string
	for _, n := range through {
		urls = append(urls, fmt.Sprintf("http://%s%s", n.Addr, address))
	}
	return &traffic{
		t:      t,
		single: load.Start(load.Config{URLs: urls, Clients: singles, Dial: c.Clients[0].Dial, Timeout: 10 * time.Second}),
		kept:   load.Start(load.Config{URLs: urls, Clients: clients, KeepAlive: true, Dial: c.Clients[1].Dial, Timeout: 10 * time.Second}),
		conns:  clients * uint64(len(urls)),
	}
}

// none fails the test unless every request was answered.
func (tr *traffic) none() {
	tr.t.Helper()
	for name, g := range map[string]*load.Generator{"kept alive": tr.kept, "a connection each": tr.single} {
		r := g.Stop()
		tr.t.Logf("%s: %s", name, r)
		if r.Failures > 0 {
			tr.t.Errorf("%s: %d of %d requests failed: %s", name, r.Failures, r.Requests, strings.Join(r.Examples, "; "))
		}
	}
}

// during takes steps one after the other while the service at address,
// :PORT/PATH on every node, is requested and other work keeps every core busy.
// Each is repeated until enough was requested meanwhile.
func during(t *testing.T, c *fleet.Fleet, address string, steps []step) {
	t.Helper()
	contend(t)
	tr := startTraffic(t, c, c.Nodes, address)
	var stops uint64
	for _, s := range steps {
		singles, kept, began, times := tr.single.Requests(), tr.kept.Requests(), time.Now(), 0
		made := func() (uint64, uint64) { return tr.single.Requests() - singles, tr.kept.Requests() - kept }
		for enough := false; !enough; times++ {
			s.do()
			stops += s.stops
			one, more := made()
			enough = t.Failed() || one >= least() && float64(more) >= keptPerSingle*float64(least())
		}
		one, more := made()
		t.Logf("%s, %d times in %s: %d requests with a connection each, %d kept alive", s.name, times, time.Since(began).Round(10*time.Millisecond), one, more)
		// A server that is stopped closes what is kept alive. Nobody else does.
		if n := tr.kept.Closed(); n > stops*tr.conns {
			t.Errorf("%s: %d kept-alive connections were closed, %d tasks stopped", s.name, n, stops)
		}
	}
	tr.none()
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
			c.Eventually("every node to have the port", 10*time.Second, func() error {
				for _, n := range c.Nodes {
					if _, err := c.Clients[0].Get(fmt.Sprintf("http://%s:8111/whoami", n.Addr)); err != nil {
						return err
					}
				}
				return nil
			})
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
