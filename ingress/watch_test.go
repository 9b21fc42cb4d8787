package ingress

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mdlayher/netlink"
)

// TestWatch breaks one thing at a time while the timer is an hour away.
func TestWatch(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	a, b := l.task(0, "a"), l.task(1, "b")
	l.publish(8001, a, b)
	l.apply()
	n := l.nodes[0]
	link := taskLink("a")
	for name, harm := range map[string]string{
		"everything of nft":          "nft flush ruleset",
		"table":                      "nft delete table ip muster",
		"zones":                      "nft delete table ip6 muster_zones",
		"element":                    "nft delete element ip muster endpoints { tcp . 8001 . 1 }",
		"rule added":                 "nft add rule ip muster forward drop",
		"routing rules":              "ip rule del priority 4789; ip rule del priority 4790; ip rule del priority 4791",
		"IPv6 routing rule":          "ip -6 rule del priority 4790",
		"table of a node":            "ip route flush table 47890002",
		"routes":                     "ip route flush proto 109",
		"IPv6 routes":                "ip -6 route flush proto 109",
		"addresses":                  "ip addr flush dev mu0",
		"neighbour":                  "ip neigh del 169.254.128.2 dev mu0",
		"forwarding entry":           "bridge fdb del 02:6d:75:00:00:02 dev mu0 dst 10.77.0.102",
		"device down":                "ip link set mu0 down",
		"device down and up":         "ip link set mu0 down; ip link set mu0 up",
		"device deleted":             "ip link del mu0",
		"MTU":                        "ip link set mu0 mtu 1400",
		"veth deleted":               "ip link del " + link,
		"task's route":               "ip route del 10.88.0.10 dev " + link,
		"forwarding":                 "sysctl -qw net.ipv4.ip_forward=0",
		"IPv6 forwarding":            "sysctl -qw net.ipv6.conf.all.forwarding=0",
		"forwarding of the underlay": "sysctl -qw net.ipv4.conf.e0.forwarding=0",
		"forwarding of a veth":       "sysctl -qw net.ipv4.conf." + link + ".forwarding=0",
		"strict filter of a veth":    "sysctl -qw net.ipv4.conf." + link + ".rp_filter=1",
		"IPv6 switched off":          "sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
		"reverse path filter":        "sysctl -qw net.ipv4.conf.mu0.rp_filter=1",
	} {
		t.Run(name, func(t *testing.T) {
			runPlane(t, n.plane)
			before := n.plane.Repairs()
			l.in(n.netns, "sh", "-c", harm)
			timeout := time.After(20 * time.Second)
			for n.plane.Repairs() == before || len(l.diff(0)) > 0 {
				select {
				case <-n.applied:
				case <-timeout:
					t.Fatalf("%d repairs, still drifted: %q", n.plane.Repairs()-before, l.diff(0))
				}
			}
		})
	}
}

// TestWatchIgnores: what is no business of ours, and what we did, needs no look.
func TestWatchIgnores(t *testing.T) {
	generation := func(comm string) []byte {
		b, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_GEN_PROC_NAME, Data: append([]byte(comm), 0)}})
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte{0, 0, 0, 0}, b...)
	}
	message := func(typ netlink.HeaderType, data ...byte) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: typ}, Data: data}
	}
	const newGeneration = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN
	var w watcher
	w.overlay.Store(7)
	route := func(m netlink.Message) bool { return w.routeConcerns(m) }
	rules := func(m netlink.Message) bool { return rulesetConcerns(m, "muster") }
	tests := map[string]struct {
		concerns func(netlink.Message) bool
		m        netlink.Message
		want     bool
	}{
		"others' transaction":       {rules, message(newGeneration, generation("nft")...), true},
		"our transaction":           {rules, message(newGeneration, generation("muster")...), false},
		"a part of a transaction":   {rules, message(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELTABLE), false},
		"our route is gone":         {route, message(unix.RTM_DELROUTE, 2, 32, 0, 0, 254, routeProtocol), true},
		"another's route is gone":   {route, message(unix.RTM_DELROUTE, 2, 32, 0, 0, 254, unix.RTPROT_BOOT), false},
		"a route is new":            {route, message(unix.RTM_NEWROUTE, 2, 32, 0, 0, 254, routeProtocol), false},
		"our neighbour is gone":     {route, message(unix.RTM_DELNEIGH, 2, 0, 0, 0, 7, 0, 0, 0), true},
		"another's is gone":         {route, message(unix.RTM_DELNEIGH, 2, 0, 0, 0, 8, 0, 0, 0), false},
		"a notice is cut off":       {route, message(unix.RTM_DELNEIGH, 2), false},
		"a setting has changed":     {route, message(unix.RTM_NEWNETCONF), true},
		"an address has come":       {route, message(unix.RTM_NEWADDR), false},
		"a generation without name": {rules, message(newGeneration), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.concerns(tt.m); got != tt.want {
				t.Errorf("concerns: %t, want %t", got, tt.want)
			}
		})
	}
}

// runPlane runs the plane until the test ends.
func runPlane(t testing.TB, p *Plane) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

// TestAttachWhateverTheDefaults: a task is reached though the node's defaults
// for new devices would keep it apart.
func TestAttachWhateverTheDefaults(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	for _, s := range []string{"net.ipv4.conf.default.forwarding=0", "net.ipv4.conf.default.rp_filter=1", "net.ipv4.conf.all.src_valid_mark=1"} {
		l.in(l.nodes[1].netns, "sysctl", "-qw", s)
	}
	l.publish(8001, l.task(1, "b"))
	l.apply()
	if got := l.get(l.client, "tcp", "10.77.0.101:8001"); !strings.HasSuffix(got, "saw 10.77.0.1") {
		t.Errorf("the task of another node: %q", got)
	}
}
