package ruleset

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
)

// mesh publishes tcp ports with so many endpoints each.
func mesh(ports map[uint16]int) *Table {
	t := New(nftables.TableFamilyIPv4, names)
	for port, n := range ports {
		var endpoints []netip.AddrPort
		for i := range n {
			endpoints = append(endpoints, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 80))
		}
		t.PutPort(6, port, endpoints)
	}
	return t
}

func TestDiff(t *testing.T) {
	spoiled := func(f func(*Table)) *Table {
		m := mesh(map[uint16]int{80: 1})
		f(m)
		return m
	}
	one := mesh(map[uint16]int{80: 1})
	tests := map[string]struct {
		have, want *Table
		lines      []string
	}{
		"nothing":  {one, one, nil},
		"no table": {nil, one, []string{"nftables ip muster: the table is missing"}},
		"published": {mesh(nil), one, []string{
			"nftables ip muster: chain d1_16 is missing",
			"nftables ip muster: endpoints lacks tcp . 80 . 0x0 : 10.0.0.1 . 80",
			"nftables ip muster: ports lacks tcp . 80 : goto d1_16",
		}},
		"one more endpoint": {one, mesh(map[uint16]int{80: 2}), []string{
			"nftables ip muster: chain d1_16 is left over",
			"nftables ip muster: chain d2_16 is missing",
			"nftables ip muster: endpoints lacks tcp . 80 . 0x1 : 10.0.0.2 . 80",
			"nftables ip muster: ports has left over tcp . 80 : goto d1_16",
			"nftables ip muster: ports lacks tcp . 80 : goto d2_16",
		}},
		"the last endpoint goes": {one, mesh(map[uint16]int{80: 0}), []string{
			"nftables ip muster: chain d1_16 is left over",
			"nftables ip muster: empty lacks tcp . 80",
			"nftables ip muster: endpoints has left over tcp . 80 . 0x0 : 10.0.0.1 . 80",
			"nftables ip muster: ports has left over tcp . 80 : goto d1_16",
		}},
		"a rule is gone": {
			spoiled(func(m *Table) { m.Chains["publish"].Rules = nil }), one,
			[]string{"nftables ip muster: chain publish has other rules"},
		},
		"a balancer's rule is gone": {
			spoiled(func(m *Table) { m.Chains["d1_16"].Rules = nil }), one,
			[]string{"nftables ip muster: chain d1_16 has other rules"},
		},
		"a chain is gone": {
			spoiled(func(m *Table) { delete(m.Chains, "forget") }), one,
			[]string{"nftables ip muster: chain forget is missing"},
		},
		"a chain hooked elsewhere": {
			spoiled(func(m *Table) { m.Chains["forget"].Hook = nftables.ChainHookInput }), one,
			[]string{"nftables ip muster: chain forget is hooked elsewhere"},
		},
		"a strange chain": {
			spoiled(func(m *Table) { m.Chains["x"] = &Chain{Hook: nftables.ChainHookInput} }), one,
			[]string{"nftables ip muster: chain x is not ours"},
		},
		"a set is gone": {
			spoiled(func(m *Table) { delete(m.Sets, Peers) }), one,
			[]string{"nftables ip muster: set peers is missing"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := Diff(tt.have, tt.want)
			if diff := cmp.Diff(tt.lines, c.Describe(tt.want)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if c.Len() != len(tt.lines) {
				t.Errorf("Len is %d, want %d", c.Len(), len(tt.lines))
			}
		})
	}
}

// What differs is listed in the same order each time, for both families.
func TestChangesAreListedInOrder(t *testing.T) {
	for fam, name := range map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6"} {
		var all []*Table
		for _, shift := range []uint16{0, 10} {
			table := New(fam, names)
			for port := range uint16(5) {
				table.PutPort(tcp, 1+port+shift, taskAddrs(fam, 1))
			}
			all = append(all, table)
		}
		first := Diff(all[0], all[1])
		lines := first.Describe(all[1])
		if len(lines) != first.Len() || !slices.IsSorted(lines) {
			t.Errorf("%d changes are listed as %q", first.Len(), lines)
		}
		for _, l := range lines {
			if !strings.HasPrefix(l, "nftables "+name+" muster: ") {
				t.Errorf("a change of %s is listed as %q", name, l)
			}
		}
		for range 20 {
			if diff := cmp.Diff(first, Diff(all[0], all[1])); diff != "" {
				t.Fatalf("another time it differs (-first +then):\n%s", diff)
			}
		}
	}
}
