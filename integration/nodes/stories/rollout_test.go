package stories

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/integration/load"
	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

// atLeast is how many requests a rollout story makes in all before it may
// call nothing dropped: MUSTER_REQUESTS, or what the service answers in the
// time that every run of the tests has.
func atLeast(unset uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv("MUSTER_REQUESTS"), 10, 64); err == nil {
		return n
	}
	return unset
}

// traffic requests a service from outside, kept alive and with a connection
// for each request.
type traffic struct {
	t      *testing.T
	kept   *load.Generator
	single *load.Generator
}

func startTraffic(t *testing.T, c *fleet.Fleet, through []*nodes.Node, address string) *traffic {
	t.Helper()
	var urls []string
	for _, n := range through {
		urls = append(urls, fmt.Sprintf("http://%s%s", n.Addr, address))
	}
	return &traffic{
		t:      t,
		single: load.Start(load.Config{URLs: urls, Clients: 4, Dial: c.Clients[0].Dial, Timeout: 10 * time.Second}),
		kept:   load.Start(load.Config{URLs: urls, Clients: 4, KeepAlive: true, Dial: c.Clients[1].Dial, Timeout: 10 * time.Second}),
	}
}

func (tr *traffic) requests() uint64 { return tr.kept.Requests() + tr.single.Requests() }

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

// during runs steps one after the other while the service at address, :PORT/PATH
// on every node, is requested, and goes on until that was done least times.
func during(t *testing.T, c *fleet.Fleet, address string, least uint64, steps map[string]func(), order []string) {
	t.Helper()
	tr := startTraffic(t, c, c.Nodes, address)
	for _, name := range order {
		before, began := tr.requests(), time.Now()
		steps[name]()
		t.Logf("%s: %s, %d requests", name, time.Since(began).Round(10*time.Millisecond), tr.requests()-before)
	}
	c.Eventually("enough requests", 5*time.Minute, func() error {
		if n := tr.requests(); n < least {
			return fmt.Errorf("%d of %d", n, least)
		}
		return nil
	})
	tr.none()
}

func TestRolloutsDropNothing(t *testing.T) {
	c := fleet.Start(t, 3, 3)
	first := c.Nodes[0]
	c.Load(pack.Nginx("nginx:latest"))
	first.MustMuster("service", "create", "-q", "--replicas", "3", "--name", "web", "-p", "8111:80",
		"--health-http", "80", "--health-start-interval", "200ms", "--health-start-period", "10s",
		"--update-monitor", "0s", "--rollback-monitor", "0s", "--drain-timeout", "5s", "nginx:latest")
	update := func(args ...string) func() {
		return func() { first.MustMuster(append(append([]string{"service", "update", "-q"}, args...), "web")...) }
	}
	steps := map[string]func(){
		"update stop-first":  update("--update-order", "stop-first", "--env-add", "V=1"),
		"update start-first": update("--update-order", "start-first", "--rollback-order", "start-first", "--env-add", "V=2"),
		"rollback":           func() { first.MustMuster("service", "rollback", "-q", "web") },
		"scale to 10":        func() { first.MustMuster("service", "scale", "web=10") },
		"scale to 2":         func() { first.MustMuster("service", "scale", "web=2") },
		"scale to 3":         func() { first.MustMuster("service", "scale", "web=3") },
		"drain a node": func() {
			first.MustMuster("node", "update", "--availability", "drain", "--wait", c.Nodes[2].Name)
			first.MustMuster("node", "update", "--availability", "active", c.Nodes[2].Name)
		},
		"restart a daemon": func() {
			c.Nodes[1].Stop()
			c.Nodes[1].Start()
			c.AwaitReady(3)
		},
		"change the leader": func() {
			// A planned stop hands leadership over.
			leader := leaderOf(t, c)
			leader.Stop()
			leader.Start()
			c.AwaitReady(3)
		},
	}
	during(t, c, ":8111/quiet", atLeast(100_000), steps, []string{
		"update stop-first", "update start-first", "rollback", "scale to 10", "scale to 2", "scale to 3",
		"drain a node", "restart a daemon", "change the leader",
	})
}

// slow is the slow server's image.
func slow(t *testing.T, c *fleet.Fleet) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	path, err := pack.Program(ctx, pack.DefaultCache(), "slow:latest", "./integration/slowserver")
	if err != nil {
		t.Fatal(err)
	}
	c.LoadFile(path)
}

func TestSlowServersDropNothing(t *testing.T) {
	c := fleet.Start(t, 3, 1)
	first := c.Nodes[0]
	slow(t, c)
	first.MustMuster("service", "create", "-q", "--replicas", "3", "--name", "slow", "-p", "8112:8080", "--env", "VERSION=1",
		"--health-http", "8080/health", "--health-start-interval", "200ms", "--health-interval", "1s", "--health-start-period", "10s",
		"--health-retries", "1", "--update-monitor", "1s", "--drain-timeout", "5s", "slow:latest")
	update := func(exit int, args ...string) nodes.Result {
		t.Helper()
		res := first.Muster(append(append([]string{"service", "update", "-q"}, args...), "slow")...)
		if res.Exit != exit {
			t.Errorf("service update %v: exit %d, want %d\n%s", args, res.Exit, exit, res.Stderr)
		}
		return res
	}
	versions := func() (all []string) {
		for range 9 {
			body, err := c.Clients[0].Get(fmt.Sprintf("http://%s:8112/version", first.Addr))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, body)
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	expect := func(want ...string) {
		t.Helper()
		if got := versions(); !slices.Equal(got, want) {
			t.Errorf("versions %v answer, want %v", got, want)
		}
	}
	steps := map[string]func(){
		"stop-first": func() { update(0, "--env-add", "VERSION=2"); expect("2") },
		"start-first, two at a time": func() {
			update(0, "--update-order", "start-first", "--update-parallelism", "2", "--env-add", "VERSION=3")
			expect("3")
		},
		"a failure rolls back": func() {
			res := update(3, "--update-failure-action", "rollback", "--update-order", "start-first", "--update-parallelism", "1",
				"--health-start-period", "2s", "--env-add", "VERSION=4", "--env-add", "FAIL=1")
			if !strings.Contains(res.Stderr, "unhealthy") {
				t.Errorf("the failing task's reason is not told: %s", res.Stderr)
			}
			expect("3")
		},
		"a failure pauses": func() {
			update(4, "--update-failure-action", "pause", "--update-order", "start-first",
				"--health-start-period", "2s", "--env-add", "VERSION=5", "--env-add", "FAIL=1")
			expect("3")
			first.MustMuster("service", "rollback", "-q", "slow")
			expect("3")
		},
		"too slow for the time given": func() {
			res := first.Muster("service", "update", "-q", "--timeout", "1s", "--env-add", "VERSION=6", "slow")
			if res.Exit != 5 {
				t.Errorf("exit %d, want 5: %s", res.Exit, res.Stderr)
			}
			c.Eventually("the update to end by itself", fleet.Converge, func() error {
				if got := versions(); !slices.Equal(got, []string{"6"}) {
					return fmt.Errorf("versions %v answer", got)
				}
				return nil
			})
		},
	}
	during(t, c, ":8112/", atLeast(20_000), steps, []string{
		"stop-first", "start-first, two at a time", "a failure rolls back", "a failure pauses", "too slow for the time given",
	})
}
