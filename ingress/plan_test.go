package ingress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/namespace"
	"github.com/muster/muster/ingress/ruleset"
	"github.com/muster/muster/internal/goldentest"
)

// render lists all of a state but the rules of tables, which nft shows.
func render(s *state) string {
	var b strings.Builder
	fmt.Fprintf(&b, "device: %s\n", s.device)
	section := func(name string, lines []string) {
		slices.Sort(lines)
		for _, l := range lines {
			fmt.Fprintf(&b, "%s: %s\n", name, l)
		}
	}
	section("address", texts(s.addrs))
	section("neighbour", texts(s.neighs))
	section("forwarding", texts(s.frames))
	section("route", texts(s.routes))
	section("rule", texts(s.rules))
	section("sysctl", texts(s.sysctls))
	for _, name := range []string{ruleset.Mesh, ruleset.Zones} {
		for _, fam := range tableFamilies(true) {
			if t := s.tables[ruleset.ID{Family: fam, Name: name}]; t != nil {
				fmt.Fprintf(&b, "table %s family %d:\n%s", name, fam, t)
			}
		}
	}
	return b.String()
}

func texts[T comparable](s set[T]) []string {
	var lines []string
	for v := range s {
		lines = append(lines, fmt.Sprint(v))
	}
	return lines
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// attached is attached to the one network of these tests.
func attached(addrs ...netip.Addr) []Attachment {
	return []Attachment{{Network: "ingress", Addrs: addrs}}
}

// networks is that network.
func networks(subnets ...string) []Network {
	n := Network{ID: "ingress"}
	for _, s := range subnets {
		n.Subnets = append(n.Subnets, netip.MustParsePrefix(s))
	}
	return []Network{n}
}

// example is a node of three, with one task of two, and all kinds of ports.
func example() *Want {
	ep := func(s4, s6 string) Endpoint {
		return Endpoint{Addr4: netip.MustParseAddrPort(s4), Addr6: netip.MustParseAddrPort(s6)}
	}
	a, b := ep("10.88.0.10:80", "[fd88::10]:80"), ep("10.88.0.11:80", "[fd88::11]:80")
	return &Want{
		Self: Node{ID: "n1", Index: 1, Underlay: addr("10.77.0.101")},
		Nodes: []Node{
			{ID: "n2", Index: 2, Underlay: addr("10.77.0.102"), Attachments: attached(addr("10.88.0.11"), addr("fd88::11"))},
			{ID: "n300", Index: 300, Underlay: addr("10.77.0.103"), Addrs: []netip.Addr{addr("fd77::103")}},
		},
		Tasks: []Task{{ID: "a", Attachments: attached(addr("10.88.0.10"), addr("fd88::10"))}},
		Ports: []Port{
			{Protocol: unix.IPPROTO_TCP, Published: 8111, Endpoints: []Endpoint{b, a}},
			{Protocol: unix.IPPROTO_UDP, Published: 53, Endpoints: []Endpoint{a}},
			{Protocol: unix.IPPROTO_TCP, Published: 8112},
			{Protocol: unix.IPPROTO_TCP, Published: 8113, HostMode: true},
			{Protocol: unix.IPPROTO_TCP, Published: 8114, HostMode: true, Endpoints: []Endpoint{a}},
			{Protocol: unix.IPPROTO_TCP, Published: 8115, Endpoints: []Endpoint{{Addr4: a.Addr4}}},
		},
		Networks: networks("10.88.0.0/16", "10.88.4.0/24", "fd88::/64"),
	}
}

func exampleFacts() facts {
	return facts{underlay: "eth0", mtu: 1500, ipv6: true, zones: true, vni: DefaultVNI, port: DefaultPort}
}

func TestPlan(t *testing.T) {
	v6 := example()
	v6.Self.Underlay = addr("fd77::101")
	v6.Nodes = v6.Nodes[:1]
	v6.Nodes[0].Underlay = addr("fd77::102")
	strict := exampleFacts()
	strict.strict = true
	tests := map[string]struct {
		want  *Want
		facts facts
	}{
		"whole":         {example(), exampleFacts()},
		"no-ipv6":       {example(), facts{underlay: "eth0", mtu: 9000, vni: 7, port: 4790}},
		"ipv6-underlay": {v6, strict},
		"alone":         {&Want{Self: example().Self}, exampleFacts()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tt.want.validate(); err != nil {
				t.Fatal(err)
			}
			got := plan(tt.want, tt.facts)
			goldentest.Compare(t, "plan-"+name+".golden", render(got))
			if lines := drift(plan(tt.want, tt.facts), got); len(lines) > 0 {
				t.Errorf("planned twice, it differs: %q", lines)
			}
		})
	}
}

// TestPlanOfTwoNetworks splits the example's network in two, IPv4 and IPv6:
// the kernel holds the same, for it is told all networks.
func TestPlanOfTwoNetworks(t *testing.T) {
	split := func(attachments []Attachment) (apart []Attachment) {
		for _, a := range attachments {
			for i, addr := range a.Addrs {
				apart = append(apart, Attachment{Network: fmt.Sprint("x", i), Addrs: []netip.Addr{addr}})
			}
		}
		return apart
	}
	w := example()
	v4, v6 := w.Networks[0].Subnets[:2], w.Networks[0].Subnets[2:]
	w.Networks = []Network{{ID: "x0", Subnets: v4}, {ID: "x1", Subnets: v6}}
	w.Nodes[0].Attachments, w.Tasks[0].Attachments = split(w.Nodes[0].Attachments), split(w.Tasks[0].Attachments)
	if lines := drift(plan(w, exampleFacts()), plan(example(), exampleFacts())); len(lines) > 0 {
		t.Errorf("split, it differs: %q", lines)
	}

	w.Networks = append(w.Networks, Network{ID: "x2", Subnets: []netip.Prefix{netip.MustParsePrefix("10.99.0.0/24")}})
	w.Nodes[0].Attachments = append(w.Nodes[0].Attachments, Attachment{Network: "x2", Addrs: []netip.Addr{addr("10.99.0.7")}})
	routes := plan(w, exampleFacts()).routes
	for _, want := range []route{
		{dst: netip.MustParsePrefix("10.99.0.0/24"), table: unix.RT_TABLE_MAIN},
		{dst: netip.MustParsePrefix("10.99.0.7/32"), via: tunnel4(2), table: unix.RT_TABLE_MAIN},
		{dst: netip.MustParsePrefix("10.88.0.11/32"), via: tunnel4(2), table: unix.RT_TABLE_MAIN},
	} {
		if _, ok := routes[want]; !ok {
			t.Errorf("no route %s", want)
		}
	}
}

// TestRuleset compares what nft says of the tables in the kernel.
func TestRuleset(t *testing.T) {
	l := newLab(t, 1, false)
	version := l.run("nft", "--version")
	if !strings.Contains(version, "v1.0.6") {
		t.Skipf("the golden files are as nft 1.0.6 writes them, here is %s", version)
	}
	want := plan(example(), exampleFacts())
	err := namespace.In(l.nodes[0].netns, func() error {
		for _, table := range want.tables {
			if err := ruleset.Apply(ruleset.Diff(nil, table), table); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, fam := range []string{"ip", "ip6"} {
		var text string
		for _, name := range []string{ruleset.Mesh, ruleset.Zones} {
			text += l.in(l.nodes[0].netns, "nft", "-s", "list", "table", fam, name)
		}
		goldentest.Compare(t, fam+".nft.golden", text)
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]func(*Want){
		"index zero":           func(w *Want) { w.Self.Index = 0 },
		"no data-path address": func(w *Want) { w.Self.Underlay = netip.Addr{} },
		"unknown protocol":     func(w *Want) { w.Ports[0].Protocol = unix.IPPROTO_SCTP },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			w := example()
			spoil(w)
			if err := w.validate(); !errdefs.IsInvalidArgument(err) {
				t.Errorf("validate gave %v, want an invalid argument", err)
			}
		})
	}
	if err := example().validate(); err != nil {
		t.Errorf("validate of the example gave %v", err)
	}
}

// TestBadNodeIsLeftOut: one node's bad claim freezes no other node's mesh.
func TestBadNodeIsLeftOut(t *testing.T) {
	tests := map[string]func(*Want){
		"index too large":      func(w *Want) { w.Nodes[0].Index = MaxNodeIndex + 1 },
		"index of this node":   func(w *Want) { w.Nodes[0].Index = w.Self.Index },
		"index of another":     func(w *Want) { w.Nodes = append(w.Nodes, w.Nodes[0]) },
		"no data-path address": func(w *Want) { w.Nodes[0].Underlay = netip.Addr{} },
		"mixed families":       func(w *Want) { w.Nodes[0].Underlay = addr("fd77::1") },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			w := example()
			spoil(w)
			whole := len(w.Nodes)
			got, bad := w.sound()
			if len(bad) != 1 || len(got.Nodes) != whole-1 || len(w.Nodes) != whole {
				t.Errorf("%d of %d nodes are left, errors %v", len(got.Nodes), whole, bad)
			}
			if err := got.validate(); err != nil {
				t.Errorf("the rest is refused: %v", err)
			}
		})
	}
	if w := example(); true {
		if got, bad := w.sound(); got != w || bad != nil {
			t.Errorf("of the example %v is left out", bad)
		}
	}
}

func TestNumbers(t *testing.T) {
	seen, marks := make(map[netip.Addr]uint32), make(map[uint32]uint32)
	metadata := []netip.Prefix{netip.MustParsePrefix("169.254.169.0/24"), netip.MustParsePrefix("169.254.170.0/24")}
	for i := uint32(1); i <= MaxNodeIndex; i++ {
		a := tunnel4(i)
		if other, ok := seen[a]; ok {
			t.Fatalf("indices %d and %d both have %s", other, i, a)
		}
		seen[a] = i
		if !netip.MustParsePrefix("169.254.128.0/17").Contains(a) || metadata[0].Contains(a) || metadata[1].Contains(a) {
			t.Fatalf("index %d has %s", i, a)
		}
		m := nodeMark(i)
		if other, ok := marks[m]; ok || m&markTagMask != markTag {
			t.Fatalf("index %d has mark %#x, as index %d", i, m, other)
		}
		marks[m] = i
	}
	for _, id := range []string{"a", strings.Repeat("x", 25), strings.Repeat("x", 26)} {
		if n := len(taskLink(id)); n > 15 {
			t.Errorf("the link of %s has %d bytes", id, n)
		}
	}
}
