package ingress

import (
	"net/netip"
	"strings"
	"testing"
)

func TestOverlaps(t *testing.T) {
	tasks := []netip.Prefix{netip.MustParsePrefix("10.128.0.0/16"), netip.MustParsePrefix("fd12::/64")}
	tests := map[string]struct {
		prefix           string
		own              bool
		conflicts, wider bool
	}{
		"another network":          {"192.0.2.0/24", true, false, false},
		"a part":                   {"10.128.3.0/24", true, true, false},
		"the same":                 {"10.128.0.0/16", true, true, false},
		"a wider network":          {"10.0.0.0/8", true, true, false},
		"a route to a part":        {"10.128.3.7/32", false, true, false},
		"a wider route":            {"10.0.0.0/8", false, false, true},
		"a part of IPv6":           {"fd12::/80", true, true, false},
		"zeroconf":                 {"169.254.0.0/16", true, false, false},
		"a part of the tunnel":     {"169.254.200.0/24", true, true, false},
		"the tunnel's IPv6":        {"fd6d:7573:7465:7200::/64", false, true, false},
		"a cloud's metadata":       {"169.254.169.254/32", false, false, false},
		"a cloud's other metadata": {"169.254.170.2/32", false, false, false},
	}
	for name, tt := range tests {
		near := []Nearby{{Prefix: netip.MustParsePrefix(tt.prefix), Device: "eth0", Own: tt.own}}
		conflicts, wider := Overlaps(tasks, near)
		if (conflicts != nil) != tt.conflicts || (wider != nil) != tt.wider {
			t.Errorf("%s: %v, %v", name, conflicts, wider)
		}
		if conflicts != nil && !strings.Contains(conflicts.Error(), tt.prefix+" (eth0)") {
			t.Errorf("%s: %v does not name it", name, conflicts)
		}
	}
}

// TestNodeInTheNetworkOfTasks: a node says so once it is, and not of what is its
// own.
func TestNodeInTheNetworkOfTasks(t *testing.T) {
	l := newLab(t, 2, true)
	l.apply()
	l.task(0, "a")
	l.apply()
	p, ns := Neighbourhood{l.nodes[0].plane}, l.nodes[0].netns
	if err := p.Overlapping(t.Context()); err != nil {
		t.Fatalf("before: %v", err)
	}
	subnet := l.want(0).Networks[0].Subnets[0]
	l.ip(ns, "addr add %s/24 dev e0", subnet.Addr().Next())
	if err := p.Overlapping(t.Context()); err == nil || !strings.Contains(err.Error(), "this machine's network") {
		t.Errorf("a network: %v", err)
	}
	l.ip(ns, "addr del %s/24 dev e0", subnet.Addr().Next())
	l.ip(ns, "route add %s/32 dev e0", subnet.Addr().Next())
	if err := p.Overlapping(t.Context()); err == nil || !strings.Contains(err.Error(), "this machine's route to") {
		t.Errorf("a route: %v", err)
	}
	l.ip(ns, "route del %s/32 dev e0", subnet.Addr().Next())
	l.ip(ns, "route add %s dev e0", netip.PrefixFrom(subnet.Addr(), subnet.Bits()-1).Masked())
	if err := p.Overlapping(t.Context()); err != nil {
		t.Errorf("a wider route: %v", err)
	}
	if err := p.Covering(t.Context()); err == nil || !strings.Contains(err.Error(), "overlaps with the tasks'") {
		t.Errorf("a wider route: %v", err)
	}
}
