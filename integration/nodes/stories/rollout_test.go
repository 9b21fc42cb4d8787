package stories

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

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
	during(t, c, ":8112/", []step{
		{"stop-first", 3, func() { update(0, "--env-add", "VERSION=2"); expect("2") }},
		{"start-first, two at a time", 3, func() {
			update(0, "--update-order", "start-first", "--update-parallelism", "2", "--env-add", "VERSION=3")
			expect("3")
		}},
		{"a failure rolls back", 6, func() {
			res := update(3, "--update-failure-action", "rollback", "--update-order", "start-first", "--update-parallelism", "1",
				"--health-start-period", "2s", "--env-add", "VERSION=4", "--env-add", "FAIL=1")
			if !strings.Contains(res.Stderr, "unhealthy") {
				t.Errorf("the failing task's reason is not told: %s", res.Stderr)
			}
			expect("3")
		}},
		{"a failure pauses", 6, func() {
			update(4, "--update-failure-action", "pause", "--update-order", "start-first",
				"--health-start-period", "2s", "--env-add", "VERSION=5", "--env-add", "FAIL=1")
			expect("3")
			first.MustMuster("service", "rollback", "-q", "slow")
			expect("3")
		}},
		{"too slow for the time given", 3, func() {
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
		}},
	})
}
