package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
)

// leaderRounds is how often the leader is lost: elections are drawn by lot.
const leaderRounds = 20

// BenchmarkLeaderLoss kills the daemon of the leader and measures how long the
// next write takes, asked of another manager at once.
func BenchmarkLeaderLoss(b *testing.B) {
	c := fleet.Start(b, 3, 3)
	var took []time.Duration
	for i := range leaderRounds {
		leader, others := leaderOf(b, c)
		leader.KillDaemon()
		took = append(took, timed(func() {
			others[i%len(others)].MustMuster("node", "update", "--label-add", fmt.Sprint("round=", i), leader.Name)
		}))
		leader.Start()
		c.AwaitReady(3)
	}
	report(b, "next-write-s", took)
	b.ReportMetric(slices.Max(took).Seconds(), "next-write-max-s")
}

// BenchmarkLeaderDisk has the disk of the leader stand still and measures how
// long the next write takes: asked of another manager, and of the leader itself.
func BenchmarkLeaderDisk(b *testing.B) {
	c := fleet.Make(nodes.Build(b, nodes.Config{Nodes: 3, Disk: 1 << 30}), b, 3)
	took := make(map[string][]time.Duration)
	for i := range leaderRounds {
		leader, others := leaderOf(b, c)
		at, by := "another", others[i/2%len(others)]
		if i%2 == 1 {
			at, by = "the-leader", leader
		}
		if err := leader.Disk.Freeze(); err != nil {
			b.Fatal(err)
		}
		took[at] = append(took[at], timed(func() {
			by.MustMuster("node", "update", "--label-add", fmt.Sprint("round=", i), leader.Name)
		}))
		if err := leader.Disk.Thaw(); err != nil {
			b.Fatal(err)
		}
		// Every member writes again, or the next round would have no quorum.
		c.Eventually("the three to follow a leader", fleet.Converge, func() error {
			r := others[0].Muster("node", "ls", "--format", "{{.Status}} {{.ManagerStatus}}")
			if ready, reachable := strings.Count(r.Stdout, "Ready "), strings.Count(r.Stdout, " Reachable"); ready != 3 || reachable != 2 {
				return fmt.Errorf("it says\n%s%s", r.Stdout, r.Stderr)
			}
			return nil
		})
	}
	for at, took := range took {
		report(b, "next-write-at-"+at+"-s", took)
		b.ReportMetric(slices.Max(took).Seconds(), "next-write-at-"+at+"-max-s")
	}
}

// leaderOf returns the node whose manager leads, and the others.
func leaderOf(b *testing.B, c *fleet.Fleet) (leader *nodes.Node, others []*nodes.Node) {
	b.Helper()
	name := strings.TrimSpace(c.Nodes[0].MustMuster("node", "ls", "--format", `{{if eq .ManagerStatus "Leader"}}{{.Hostname}}{{end}}`))
	for _, n := range c.Nodes {
		if n.Name == name {
			leader = n
		} else {
			others = append(others, n)
		}
	}
	if leader == nil {
		b.Fatalf("%q leads", name)
	}
	return leader, others
}
