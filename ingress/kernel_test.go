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
					// Turns are not counted: a packet of somebody else's may take one.
					got := make(map[string]bool)
					for range 6 {
						got[l.get(l.client, network, net.JoinHostPort(addr.String(), "8111"))] = true
					}
					want := map[string]bool{}
					for _, task := range []string{"a", "b", "c"} {
						want[fmt.Sprintf("%s saw %s", task, client)] = true
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s by node %s: answers (-want +got):\n%s", network, n.ID, diff)
					}
				}
			}
		})
	}
}

// TestReach asks from where a reply is hard to bring back: the nodes
// themselves, localhost, and tasks.
func TestReach(t *testing.T) {
	l := newLab(t, 3, false)
	l.apply()
	a, b := l.task(0, "a"), l.task(1, "b")
	l.publish(8001, a)
	l.publish(8002, b)
	l.publish(8003)
	l.apply()
	n1, n2, n3 := l.addr4(101).String(), l.addr4(102).String(), l.addr4(103).String()
	tests := map[string]struct {
		from string
		addr string
		want string
	}{
		"localhost, task here":               {l.nodes[0].netns, "127.0.0.1:8001", "a saw 169.254.1.1"},
		"localhost, task elsewhere":          {l.nodes[0].netns, "127.0.0.1:8002", "b saw " + tunnel4(1).String()},
		"localhost, no task":                 {l.nodes[0].netns, "127.0.0.1:8003", "refused"},
		"IPv6 localhost":                     {l.nodes[0].netns, "[::1]:8001", "refused"},
		"own address, task here":             {l.nodes[0].netns, n1 + ":8001", "a saw " + n1},
		"own address, task elsewhere":        {l.nodes[0].netns, n1 + ":8002", "b saw " + n1},
		"node to node, task on that":         {l.nodes[0].netns, n2 + ":8002", "b saw " + n1},
		"node to node, task on a third":      {l.nodes[0].netns, n3 + ":8002", "b saw " + n1},
		"node to node, task on the client's": {l.nodes[0].netns, n2 + ":8001", "a saw " + tunnel4(2).String()},
		"the same by IPv6":                   {l.nodes[0].netns, "[" + l.addr6(102).String() + "]:8001", "a saw " + tunnel6(2).String()},
		"hairpin by own node":                {l.of(a), n1 + ":8001", "a saw 169.254.1.1"},
		"hairpin by another node":            {l.of(a), n2 + ":8001", "a saw " + tunnel4(2).String()},
		"task to the gateway":                {l.of(a), "169.254.1.1:8002", "b saw 10.88.0.10"},
		"task by own node to a task":         {l.of(a), n1 + ":8002", "b saw 10.88.0.10"},
		"task to a task":                     {l.of(a), "10.88.0.11:80", "b saw 10.88.0.10"},
		"task to a task by IPv6":             {l.of(a), "[fd88::11]:80", "b saw fd88::10"},
		"no endpoint":                        {l.client, n1 + ":8003", "refused"},
		"no endpoint by IPv6":                {l.client, "[" + l.addr6(101).String() + "]:8003", "refused"},
		"node to a task here":                {l.nodes[0].netns, "10.88.0.10:80", "a saw "},
		"node to a task elsewhere":           {l.nodes[0].netns, "10.88.0.11:80", "b saw "},
	}
	for name, tt := range tests {
		for _, network := range []string{"tcp", "udp"} {
			t.Run(name+" "+network, func(t *testing.T) {
				if got := l.get(tt.from, network, tt.addr); !strings.Contains(got, tt.want) {
					t.Errorf("%s gave %q, want %q", tt.addr, got, tt.want)
				}
			})
		}
	}
}

// TestClientOfOneNode calls from an address that only the called node has a route to.
func TestClientOfOneNode(t *testing.T) {
	for _, filter := range []string{"0", "1"} {
		t.Run("rp_filter "+filter, func(t *testing.T) {
			l := newLab(t, 2, false)
			l.ip(l.client, "addr add 192.0.2.1/32 dev lo")
			l.ip(l.client, "route add 10.77.0.101/32 dev e0 src 192.0.2.1")
			l.ip(l.nodes[0].netns, "route add 192.0.2.1/32 via %s", l.addr4(1))
			if filter == "1" { // loose is the most that the overlay can have: it needs some route
				l.ip(l.nodes[1].netns, "route add default via %s", l.addr4(101))
			}
			l.in(l.nodes[1].netns, "sh", "-c", "echo "+filter+" > /proc/sys/net/ipv4/conf/all/rp_filter")
			l.apply()
			l.publish(8001, l.task(1, "a"))
			l.apply()
			for _, network := range []string{"tcp", "udp"} {
				if got, want := l.get(l.client, network, "10.77.0.101:8001"), "a saw 192.0.2.1"; got != want {
					t.Errorf("%s: %q, want %q", network, got, want)
				}
			}
		})
	}
}
