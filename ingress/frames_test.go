package ingress

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/conntrack"
	"github.com/muster/muster/ingress/namespace"
)

// TestFramesAreNotTracked: connections through two nodes are tracked as what they are, and not
// once more as the frames that carry them, which come from as many ports.
func TestFramesAreNotTracked(t *testing.T) {
	const connections = 50
	for name, v6 := range map[string]bool{"IPv4 underlay": false, "IPv6 underlay": true} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 2, v6)
			l.apply()
			l.publish(8001, l.task(1, "a"))
			l.apply()
			called := "10.77.0.101:8001"
			for i := range connections {
				c, err := l.dial(l.client, "tcp4", called)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := l.ask(c); err != nil {
					t.Fatalf("connection %d: %v", i, err)
				}
			}
			for _, n := range l.nodes {
				flows := make(map[string]int)
				err := namespace.In(n.netns, func() error {
					return eachFlow(conntrack.Filter{}, func(f *conntrack.Flow) {
						flows[fmt.Sprintf("%d to port %d", f.Protocol, f.Called.Port())]++
					})
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("node %s tracks %v", n.ID, flows)
				if frames := flows[fmt.Sprintf("%d to port %d", unix.IPPROTO_UDP, DefaultPort)]; frames > 0 {
					t.Errorf("node %s tracks frames as %d flows, for %d connections", n.ID, frames, connections)
				}
			}
		})
	}
}
