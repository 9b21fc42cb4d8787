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
