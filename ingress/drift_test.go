package ingress

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDrift breaks one thing at a time by hand.
func TestDrift(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	a, b := l.task(0, "a"), l.task(1, "b")
	l.publish(8001, a, b)
	l.publish(8002, b)
	l.apply()
	link := taskLink("a")
	tests := map[string]struct {
		harm string
		want string // of the report
	}{
		"element deleted":    {"nft delete element ip muster endpoints { tcp . 8001 . 1 }", "endpoints lacks tcp . 8001 . 0x1 : 10.88.0.11 . 80"},
		"element added":      {"nft add element ip muster empty { tcp . 22 }", "empty has left over tcp . 22"},
		"subnet deleted":     {"nft delete element ip6 muster subnets { fd88::/64 }", "subnets lacks fd88::"},
		"rule added":         {"nft add rule ip muster forward drop", "chain forward has other rules"},
		"chain flushed":      {"nft flush chain ip6 muster outbound", "chain outbound has other rules"},
		"table deleted":      {"nft delete table ip muster", "the table is missing"},
		"foreign set":        {"nft add set ip muster mine '{ type ipv4_addr; }'", "set mine is not ours"},
		"route deleted":      {"ip route del 10.88.0.11", "route is missing: 10.88.0.11/32 via 169.254.128.2 table 254"},
		"route added":        {"ip route add 10.88.0.77 via 169.254.128.2 dev mu0 onlink proto 109", "route is left over: 10.88.0.77/32"},
		"IPv6 route deleted": {"ip -6 route del fd88::11", "route is missing: fd88::11/128"},
		"refusal deleted":    {"ip route del unreachable 10.88.0.0/16", "route is missing: 10.88.0.0/16 unreachable"},
		"rule deleted":       {"ip rule del priority 4790", "routing rule is missing: ip priority 4790 mark 0x80003002/0xffffffff table 47890002"},
		"neighbour deleted":  {"ip neigh del 169.254.128.2 dev mu0", "neighbour is missing: 169.254.128.2 at 02:6d:75:00:00:02"},
		"forwarding deleted": {"bridge fdb del 02:6d:75:00:00:02 dev mu0 dst 10.77.0.102", "forwarding entry is missing: 02:6d:75:00:00:02 to 10.77.0.102"},
		"address deleted":    {"ip addr del 169.254.128.1/32 dev mu0", "address is missing: 169.254.128.1/32"},
		"device deleted":     {"ip link del mu0", "device mu0 is missing"},
		"device down":        {"ip link set mu0 down", "device mu0 is vni 4097"},
		"MTU changed":        {"ip link set mu0 mtu 1400", "mtu 1400"},
		"link address":       {"ip link set mu0 address 02:00:00:00:00:99", "mac 02:00:00:00:00:99"},
		"sysctl changed":     {"sysctl -qw net.ipv4.ip_forward=0", "sysctl net/ipv4/ip_forward is not 1"},
		"veth deleted":       {"ip link del " + link, "task a is not attached"},
		"task route deleted": {"ip route del 10.88.0.10 dev " + link, "task a is not attached"},
		"zone deleted":       {"nft flush chain ip muster_zones zone", "nftables ip muster_zones: chain zone has other rules"},
		"zones deleted":      {"nft delete table ip6 muster_zones", "nftables ip6 muster_zones: the table is missing"},
		"foreign zone":       {"nft add chain ip muster_zones mine", "nftables ip muster_zones: chain mine is left over"},
		"everything of nft":  {"nft flush ruleset", "the table is missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := l.nodes[0].plane.Repairs()
			l.in(l.nodes[0].netns, "sh", "-c", tt.harm)
			lines := l.diff(0)
			if !strings.Contains(strings.Join(lines, "\n"), tt.want) {
				t.Errorf("the report is %q, want %q in it", lines, tt.want)
			}
			l.applyNode(0, true)
			if lines := l.diff(0); len(lines) > 0 {
				t.Errorf("still drifted after the repair: %q", lines)
			}
			if l.nodes[0].plane.Repairs() == before {
				t.Error("the repair was not counted")
			}
			for range 2 {
				if got := l.get(l.client, "tcp", "10.77.0.101:8001"); !strings.HasSuffix(got, "saw 10.77.0.1") {
					t.Errorf("after the repair: %q", got)
				}
			}
		})
	}
}

// TestTaskOnItsWayOut: until managers know that it ended, the want names a task
// that is attached no more, as while a node is drained. That is no drift.
func TestTaskOnItsWayOut(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	l.task(0, "a")
	l.apply()
	if err := l.nodes[0].plane.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if lines := l.diff(0); len(lines) > 0 {
		t.Errorf("of a task that was detached it says %q", lines)
	}
}

// TestIdempotent: what is right is not touched.
func TestIdempotent(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	l.publish(8001, l.task(0, "a"), l.task(1, "b"))
	l.apply()
	dump := func() string {
		return l.in(l.nodes[0].netns, "sh", "-c", "nft -a list ruleset; ip -d addr; ip route show table all; ip rule; bridge fdb")
	}
	before := dump()
	for range 2 {
		l.applyNode(0, true)
	}
	if diff := cmp.Diff(before, dump()); diff != "" {
		t.Errorf("applying again changed the kernel:\n%s", diff)
	}
	if n := l.nodes[0].plane.Repairs(); n != 0 {
		t.Errorf("%d repairs of what was right", n)
	}
	// A new process finds all as it should be.
	again := New(Config{Netns: l.nodes[0].netns, TaskDir: l.dir})
	again.Set(l.want(0))
	if lines, err := again.Diff(t.Context()); err != nil || len(lines) > 0 {
		t.Errorf("a new process finds drift %q, %v", lines, err)
	}
	if err := again.apply(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, dump()); diff != "" {
		t.Errorf("a new process changed the kernel:\n%s", diff)
	}
}

func TestRemove(t *testing.T) {
	l := newLab(t, 2, false)
	snapshot := func() string {
		return l.in(l.nodes[0].netns, "sh", "-c", "nft list ruleset; ip -br addr | grep -v e0; ip route show table all | grep -v e0 | sort; ip -6 route show table all | grep -v e0 | sort; ip rule; ip -6 rule")
	}
	before := snapshot()
	l.apply()
	l.publish(8001, l.task(0, "a"), l.task(1, "b"))
	l.apply()
	if snapshot() == before {
		t.Fatal("applying changed nothing")
	}
	for range 2 {
		if err := l.nodes[0].plane.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, snapshot()); diff != "" {
			t.Errorf("left behind (-before +after):\n%s", diff)
		}
	}
}
