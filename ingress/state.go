package ingress

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/muster/muster/ingress/ruleset"
)

// state is kernel state: what it should be, or what it is. Everything in it
// can be compared, so that a difference is one of sets.
type state struct {
	device device
	addrs  set[netip.Prefix] // on the overlay device
	neighs set[neigh]
	frames set[frame]
	routes set[route]
	rules  set[policy]
	// sysctls are settings below /proc/sys.
	sysctls set[setting]
	tables  map[ruleset.ID]*ruleset.Table
}

type set[T comparable] map[T]struct{}

func (s set[T]) add(v T) { s[v] = struct{}{} }

// minus returns what s has and other has not.
func (s set[T]) minus(other set[T]) []T {
	var d []T
	for v := range s {
		if _, ok := other[v]; !ok {
			d = append(d, v)
		}
	}
	return d
}

// device is the VXLAN device. The zero value is one that does not exist.
type device struct {
	vni   int
	port  int
	local netip.Addr
	mac   mac
	mtu   int
	up    bool
}

// neigh is the link address of another node's tunnel address.
type neigh struct {
	ip  netip.Addr
	mac mac
}

// frame says where frames for a link address are sent.
type frame struct {
	mac mac
	to  netip.Addr
}

// route leads to a node, or nowhere if via is not valid.
type route struct {
	dst   netip.Prefix
	via   netip.Addr
	table uint32
}

// policy is a policy routing rule.
type policy struct {
	v6       bool
	priority int
	not      bool // for packets without the mark
	mark     uint32
	mask     uint32
	table    uint32 // look routes up in this table
	goTo     int    // or go on with the rule of this priority, or neither
}

type setting struct{ path, value string }

func (m mac) addr() net.HardwareAddr { return slices.Clone(m[:]) }

func newState() *state {
	return &state{
		addrs: make(set[netip.Prefix]), neighs: make(set[neigh]), frames: make(set[frame]),
		routes: make(set[route]), rules: make(set[policy]), sysctls: make(set[setting]),
		tables: make(map[ruleset.ID]*ruleset.Table),
	}
}

func (s *state) addTable(t *ruleset.Table) { s.tables[t.ID] = t }

// forgetDevice drops what goes when the overlay device goes, or goes down.
func (s *state) forgetDevice() {
	s.device = device{}
	s.addrs, s.neighs, s.frames = make(set[netip.Prefix]), make(set[neigh]), make(set[frame])
	s.sysctls = make(set[setting])
	for r := range s.routes {
		if r.via.IsValid() {
			delete(s.routes, r)
		}
	}
}

// tableChanges are the differences between tables.
type tableChanges map[ruleset.ID]ruleset.Changes

func diffTables(have, want *state) tableChanges {
	c := make(tableChanges)
	for id, t := range want.tables {
		c[id] = ruleset.Diff(have.tables[id], t)
	}
	return c
}

// drift lists for people what have lacks or has beside want.
func drift(have, want *state) []string { return differences(have, want, diffTables(have, want)) }

// differences is drift where those of the tables are known.
func differences(have, want *state, tables tableChanges) []string {
	var lines []string
	if have.device != want.device {
		lines = append(lines, fmt.Sprintf("device %s is %s, not %s", Overlay, have.device, want.device))
	}
	lines = append(lines, describe("address", have.addrs, want.addrs)...)
	lines = append(lines, describe("neighbour", have.neighs, want.neighs)...)
	lines = append(lines, describe("forwarding entry", have.frames, want.frames)...)
	lines = append(lines, describe("route", have.routes, want.routes)...)
	lines = append(lines, describe("routing rule", have.rules, want.rules)...)
	for _, s := range want.sysctls.minus(have.sysctls) {
		lines = append(lines, fmt.Sprintf("sysctl %s is not %s", s.path, s.value))
	}
	for id, t := range want.tables {
		lines = append(lines, tables[id].Describe(t)...)
	}
	slices.Sort(lines)
	return lines
}

func describe[T comparable](what string, have, want set[T]) []string {
	var lines []string
	for _, v := range want.minus(have) {
		lines = append(lines, fmt.Sprintf("%s is missing: %v", what, v))
	}
	for _, v := range have.minus(want) {
		lines = append(lines, fmt.Sprintf("%s is left over: %v", what, v))
	}
	return lines
}

func (d device) String() string {
	if d == (device{}) {
		return "missing"
	}
	return fmt.Sprintf("vni %d port %d local %s mac %s mtu %d up %t", d.vni, d.port, d.local, d.mac, d.mtu, d.up)
}

func (m mac) String() string { return m.addr().String() }

func (n neigh) String() string { return fmt.Sprintf("%s at %s", n.ip, n.mac) }

func (f frame) String() string { return fmt.Sprintf("%s to %s", f.mac, f.to) }

func (r route) String() string {
	if !r.via.IsValid() {
		return fmt.Sprintf("%s unreachable", r.dst)
	}
	return fmt.Sprintf("%s via %s table %d", r.dst, r.via, r.table)
}

func (p policy) String() string {
	fam := "ip"
	if p.v6 {
		fam = "ip6"
	}
	not := ""
	if p.not {
		not = "not "
	}
	switch {
	case p.table != 0:
		return fmt.Sprintf("%s priority %d %smark %#x/%#x table %d", fam, p.priority, not, p.mark, p.mask, p.table)
	case p.goTo != 0:
		return fmt.Sprintf("%s priority %d %smark %#x/%#x goto %d", fam, p.priority, not, p.mark, p.mask, p.goTo)
	}
	return fmt.Sprintf("%s priority %d nop", fam, p.priority)
}
