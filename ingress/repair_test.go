package ingress

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkRepair breaks one thing after the other on a node that runs, and tells how long it
// takes from the command that did it to the kernel being whole again: the least, the median and
// the most of its rounds, in ms. The timer is an hour away.
func BenchmarkRepair(b *testing.B) {
	const rounds = 15
	l := newLab(b, 2, false)
	l.apply()
	l.publish(8001, l.task(0, "a"), l.task(1, "b"))
	l.apply()
	n := l.nodes[0]
	runPlane(b, n.plane)
	for _, harm := range []struct{ name, command string }{
		{"flush", "nft flush ruleset"},
		{"device-deleted", "ip link del mu0"},
		{"device-down", "ip link set mu0 down"},
		{"routes", "ip route flush proto 109"},
		{"sysctl", "sysctl -qw net.ipv4.ip_forward=0"},
	} {
		var took []time.Duration
		for range rounds {
			<-time.After(time.Second) // so that it is not taken for a repair that is undone
			took = append(took, repaired(b, l, n, harm.command))
		}
		slices.Sort(took)
		for i, of := range map[int]string{0: "least", rounds / 2: "median", rounds - 1: "most"} {
			b.ReportMetric(float64(took[i].Microseconds())/1000, harm.name+"-ms-"+of)
		}
	}
}

// repaired does harm on a node, and returns how long it takes until the kernel is whole again.
func repaired(b *testing.B, l *lab, n *labNode, harm string) time.Duration {
	b.Helper()
	before, began := n.plane.Repairs(), time.Now()
	l.in(n.netns, "sh", "-c", harm)
	timeout := time.After(20 * time.Second)
	for {
		select {
		case <-n.applied:
			took := time.Since(began)
			if n.plane.Repairs() > before && len(l.diff(0)) == 0 {
				return took
			}
		case <-timeout:
			b.Fatalf("after %q the kernel still differs: %q", harm, l.diff(0))
		}
	}
}
