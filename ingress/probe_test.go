package ingress

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/namespace"
)

// TestProbe breaks one way at a time by what others do to it.
func TestProbe(t *testing.T) {
	l := newLab(t, 3, false)
	l.apply()
	l.publish(8001, l.task(0, "a"), l.task(1, "b"), l.task(2, "c"))
	l.apply()
	n1, n2 := l.nodes[0], l.nodes[1]
	if got := n1.plane.Probe(t.Context()); len(got) > 0 {
		t.Fatalf("all is well, and it finds %q", got)
	}
	const dropForwarded = "nft add table ip filter; nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }'"
	tests := map[string]struct {
		ns         string
		harm, heal string
		want       []string // parts of the lines, in their order
	}{
		"4789 closed on the other node": {
			n2.netns, "nft add table ip fw; nft add chain ip fw in '{ type filter hook input priority -5; }'; nft add rule ip fw in udp dport 4789 drop", "nft delete table ip fw",
			[]string{"node 10.77.0.102 (n2) does not answer through the tunnel: UDP port 4789", "task 10.88.0.11 of node 10.77.0.102 (n2), published at 8001/tcp"},
		},
		"4789 closed here": {
			n1.netns, "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; policy drop; }'; nft add rule inet fw in ct state established,related accept", "nft delete table inet fw",
			[]string{"(n2) does not answer through the tunnel", "(n3) does not answer through the tunnel", "task 10.88.0.11", "task 10.88.0.12"},
		},
		"4789 open here to what is new": {
			n1.netns, "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; policy drop; }'; nft add rule inet fw in ct state established,related accept; nft add rule inet fw in udp dport 4789 ct state new accept", "nft delete table inet fw",
			[]string{"(n2) does not answer through the tunnel", "(n3) does not answer through the tunnel", "task 10.88.0.11", "task 10.88.0.12"},
		},
		"4789 open on the other node to what is new": {
			n2.netns, "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; policy drop; }'; nft add rule inet fw in ct state established,related accept; nft add rule inet fw in udp dport 4789 ct state new accept", "nft delete table inet fw",
			[]string{"node 10.77.0.102 (n2) does not answer through the tunnel: UDP port 4789 is closed on the way between 10.77.0.101 and it, or open to packets of the state NEW alone", "task 10.88.0.11"},
		},
		"4789 open to what is new or untracked": {
			n1.netns, "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; policy drop; }'; nft add rule inet fw in ct state established,related accept; nft add rule inet fw in udp dport 4789 ct state new,untracked accept", "nft delete table inet fw", nil,
		},
		"a node that drops what is for itself but for frames": {
			n2.netns, "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; policy drop; }'; nft add rule inet fw in udp dport 4789 accept", "nft delete table inet fw", nil,
		},
		"a way that carries less": {
			n2.netns, "ip link set e0 mtu 1400", "ip link set e0 mtu 1500",
			[]string{"node 10.77.0.102 (n2) answers through the tunnel, but not to packets of 1450 bytes: the way there carries less than the 1500 bytes"},
		},
		"the other node drops what it forwards": {
			n2.netns, dropForwarded, "nft delete table ip filter",
			[]string{"task 10.88.0.11 of node 10.77.0.102 (n2), published at 8001/tcp, does not answer"},
		},
		"Docker's policy": {
			n1.netns, dropForwarded, "nft delete table ip filter",
			[]string{"chain FORWARD of table ip filter of nftables drops what this node forwards: let it accept"},
		},
		"firewalld's last rule": {
			n1.netns, "nft add table inet firewalld; nft add chain inet firewalld filter_FORWARD '{ type filter hook forward priority 10; }'; nft add rule inet firewalld filter_FORWARD counter reject with icmpx admin-prohibited", "nft delete table inet firewalld",
			[]string{"chain filter_FORWARD of table inet firewalld of nftables drops"},
		},
		"IPv6 alone": {
			n1.netns, "nft add table ip6 filter; nft add chain ip6 filter FORWARD '{ type filter hook forward priority 0; policy drop; }'", "nft delete table ip6 filter",
			[]string{"chain FORWARD of table ip6 filter"},
		},
		"a policy that lets ours through": {
			n1.netns, dropForwarded + `; nft add rule ip filter FORWARD iifname '"mt*"' accept; nft add rule ip filter FORWARD oifname '"mt*"' accept`, "nft delete table ip filter", nil,
		},
		"a device that does not forward": {
			n1.netns, "ip link add wan type bridge; ip addr add 192.0.2.9/24 dev wan; sysctl -qw net.ipv4.conf.wan.forwarding=0", "ip link del wan",
			[]string{"device wan does not forward: clients that come in by it reach no task; set net.ipv4.conf.wan.forwarding to 1"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l.in(tt.ns, "sh", "-ec", tt.harm)
			got := n1.plane.Probe(t.Context())
			l.in(tt.ns, "sh", "-ec", tt.heal)
			for i, want := range tt.want {
				if i >= len(got) || !strings.Contains(got[i], want) {
					t.Fatalf("it finds\n%s\nwant %q as number %d", strings.Join(got, "\n"), want, i+1)
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("it finds\n%s\nwant %d lines", strings.Join(got, "\n"), len(tt.want))
			}
			if left := l.diff(0); len(left) > 0 {
				t.Errorf("it left behind %q", left)
			}
		})
	}
	if left := l.ip(n1.netns, "-o link"); strings.Contains(left, taskLink("probe-1")) {
		t.Errorf("an end to try with is left:\n%s", left)
	}
}

// TestOwnPorts: a port on which the node listens for the cluster reaches the
// node, whatever is published.
func TestOwnPorts(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	a := l.task(1, "a")
	l.publish(2377, a)
	l.publish(8001, a)
	l.serveOn(l.nodes[0].netns, "node", 2377)
	for _, own := range []bool{false, true} {
		want, name := l.want(0), "a saw"
		if own {
			want.Own, name = []Listener{{unix.IPPROTO_TCP, 2377}}, "node saw"
		}
		l.nodes[0].plane.Set(want)
		if err := l.nodes[0].plane.apply(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if got := l.get(l.client, "tcp", "10.77.0.101:2377"); !strings.HasPrefix(got, name) {
			t.Errorf("own %t: %q, want that %s", own, got, name)
		}
		if got := l.get(l.client, "udp", "10.77.0.101:2377"); !strings.HasPrefix(got, "a saw") {
			t.Errorf("own %t: the other protocol: %q", own, got)
		}
		if err := l.nodes[0].plane.Shadowed(t.Context()); err == nil || strings.HasPrefix(err.Error(), "2377/tcp: this node listens there for the cluster") != own {
			t.Errorf("own %t: the node says %v", own, err)
		}
	}
}

// TestSilent looks into a task's network namespace.
func TestSilent(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	l.task(0, "a") // listens on 80
	plane := l.nodes[0].plane
	err := namespace.In(plane.netns("a"), func() error {
		loopback, err := net.Listen("tcp4", "127.0.0.1:81")
		if err == nil {
			t.Cleanup(func() { loopback.Close() })
		}
		own, err2 := net.Listen("tcp4", "10.88.0.10:82")
		if err2 == nil {
			t.Cleanup(func() { own.Close() })
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := plane.Silent(t.Context(), "a", []uint16{80, 81, 82, 83})
	if err != nil || !slices.Equal(got, []uint16{81, 83}) {
		t.Errorf("silent are %v, %v, want 81, on which only the task itself reaches somebody, and 83", got, err)
	}
	if _, err := plane.Silent(t.Context(), "gone", nil); err == nil {
		t.Error("a task that is not there listens")
	}
}

// TestHostListeners: services of the host whose port is published are named.
func TestHostListeners(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	l.publish(8001, l.task(0, "a"))
	l.publish(8002)
	l.apply()
	plane := l.nodes[0].plane
	if err := plane.Shadowed(t.Context()); err != nil {
		t.Errorf("nobody listens: %v", err)
	}
	l.serveOn(l.nodes[0].netns, "host", 8002)
	l.serveOn(l.nodes[0].netns, "host", 9000)
	if err := plane.Shadowed(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "8002/tcp: a process of this machine listens") {
		t.Errorf("got %v", err)
	}
}

func TestUnusedAddr(t *testing.T) {
	for subnet, want := range map[string]string{"10.88.0.0/16": "10.88.255.255", "10.0.0.128/30": "10.0.0.131", "10.1.2.3/32": "10.1.2.3"} {
		if got, ok := unusedAddr(&Want{Networks: networks(subnet, "fd88::/64")}); !ok || got.String() != want {
			t.Errorf("of %s it is %s, want %s", subnet, got, want)
		}
	}
	if got, ok := unusedAddr(&Want{}); ok {
		t.Errorf("without a network it is %s", got)
	}
}

// TestTrouble: what keeps the kernel from holding what it should is known
// until it is over.
func TestTrouble(t *testing.T) {
	l := newLab(t, 1, false)
	plane := l.nodes[0].plane
	if err := plane.Trouble(); err != nil {
		t.Errorf("before anything: %v", err)
	}
	l.apply()
	if err := plane.Trouble(); err != nil {
		t.Errorf("all is well: %v", err)
	}
	// As after a lease of another address, or on a node moved to another network.
	l.ip(l.nodes[0].netns, "addr del %s/24 dev e0", l.nodes[0].Underlay)
	plane.Set(l.want(0))
	if err := plane.apply(t.Context(), true); err == nil || plane.Trouble() == nil {
		t.Errorf("without its address: %v, trouble %v", err, plane.Trouble())
	}
	l.ip(l.nodes[0].netns, "addr add %s/24 dev e0", l.nodes[0].Underlay)
	if err := plane.apply(t.Context(), true); err != nil || plane.Trouble() != nil {
		t.Errorf("with it again: %v, trouble %v", err, plane.Trouble())
	}
}
