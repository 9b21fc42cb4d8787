package ingress

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMesh asks every node for a port whose three tasks run on two of three nodes.
func TestMesh(t *testing.T) {
	for name, v6 := range map[string]bool{"IPv4 underlay": false, "IPv6 underlay": true} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 3, v6)
			l.apply()
			a, b, c := l.task(0, "a"), l.task(1, "b"), l.task(1, "c")
			l.publish(8111, a, b, c)
			l.apply()
			for i, n := range l.nodes {
				for _, network := range []string{"tcp4", "udp4", "tcp6", "udp6"} {
					addr, client := l.addr4(101+i), l.addr4(1)
					if strings.HasSuffix(network, "6") {
						addr, client = l.addr6(101+i), l.addr6(1)
					}
					got := make(map[string]int)
					for range 6 {
						got[l.get(l.client, network, net.JoinHostPort(addr.String(), "8111"))]++
					}
					want := map[string]int{}
					for _, task := range []string{"a", "b", "c"} {
						want[fmt.Sprintf("%s saw %s", task, client)] = 2
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s by node %s: answers (-want +got):\n%s", network, n.ID, diff)
					}
				}
			}
		})
	}
}
