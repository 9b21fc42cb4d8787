package ingress

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/ruleset"
)

// facts are what a plan needs to know of the node.
type facts struct {
	underlay string // the device that has the underlay address
	mtu      int    // of that device
	ipv6     bool   // the kernel has IPv6
	// zones says that the kernel has conntrack zones, or may have them.
	zones bool
	// strict says that net.ipv4.conf.all.rp_filter is 1: each device's own
	// setting then counts only if it is larger.
	strict bool
	// noPickup is ruleset.Names.NoPickup.
	noPickup bool
	vni      int
	port     int
}

// plan returns what the kernel should hold. The want must be valid.
func plan(w *Want, f facts) *state {
	s := newState()
	planOverlay(s, w, f)
	for _, n := range w.Nodes {
		planNode(s, n, f)
	}
	planRouting(s, w, f)
	for _, fam := range tableFamilies(f.ipv6) {
		s.addTable(planTable(fam, w, f))
		if f.zones {
			s.addTable(ruleset.NewZones(fam, names(f)))
		}
	}
	return s
}

func tableFamilies(ipv6 bool) []nftables.TableFamily {
	if ipv6 {
		return []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6}
	}
	return []nftables.TableFamily{nftables.TableFamilyIPv4}
}

func planOverlay(s *state, w *Want, f facts) {
	underlay := w.Self.Underlay.Unmap()
	s.device = device{
		vni: f.vni, port: f.port, local: underlay,
		mac: nodeMAC(w.Self.Index), mtu: f.mtu - overhead(underlay), up: true,
	}
	s.addrs.add(host(tunnel4(w.Self.Index)))
	s.sysctls.add(setting{"net/ipv4/ip_forward", "1"})
	// A device may be set apart from that.
	for _, dev := range []string{Overlay, f.underlay} {
		s.sysctls.add(setting{"net/ipv4/conf/" + dev + "/forwarding", "1"})
		if f.ipv6 {
			s.sysctls.add(setting{"net/ipv6/conf/" + dev + "/forwarding", "1"})
		}
	}
	// A client's packets come by the node it called, and not where the route
	// to it leads; there may be no route to it at all.
	filter := "0"
	if f.strict {
		filter = "2"
	}
	s.sysctls.add(setting{"net/ipv4/conf/" + Overlay + "/rp_filter", filter})
	// A process of this node calls 127.0.0.1: replies to it come from here.
	s.sysctls.add(setting{"net/ipv4/conf/" + Overlay + "/route_localnet", "1"})
	if f.ipv6 {
		s.addrs.add(host(tunnel6(w.Self.Index)))
		s.sysctls.add(setting{"net/ipv6/conf/all/forwarding", "1"})
		s.sysctls.add(setting{"net/ipv6/conf/" + Overlay + "/disable_ipv6", "0"})
	}
}

// planNode leads to another node and to its tasks.
func planNode(s *state, n Node, f facts) {
	m := nodeMAC(n.Index)
	s.frames.add(frame{m, n.Underlay.Unmap()})
	for _, t := range tunnels(n.Index, f) {
		s.neighs.add(neigh{t, m})
		s.routes.add(route{dst: host(t), via: t, table: unix.RT_TABLE_MAIN})
		s.routes.add(route{dst: everything(t), via: t, table: nodeTable(n.Index)})
		s.rules.add(policy{
			v6: t.Is6(), priority: rulePriority + 1,
			mark: nodeMark(n.Index), mask: markAll, table: nodeTable(n.Index),
		})
	}
	for _, a := range n.taskAddrs() {
		switch a = a.Unmap(); {
		case a.Is4():
			s.routes.add(route{dst: host(a), via: tunnel4(n.Index), table: unix.RT_TABLE_MAIN})
		case f.ipv6:
			s.routes.add(route{dst: host(a), via: tunnel6(n.Index), table: unix.RT_TABLE_MAIN})
		}
	}
}

// planRouting adds what does not depend on other nodes: packets without our
// mark skip the rules of all nodes, and an address without a task is
// unreachable rather than sent to the outside.
func planRouting(s *state, w *Want, f facts) {
	for _, v6 := range []bool{false, true} {
		if v6 && !f.ipv6 {
			continue
		}
		s.rules.add(policy{v6: v6, priority: rulePriority, not: true, mark: markTag, mask: markTagMask, goTo: rulePriority + 2})
		s.rules.add(policy{v6: v6, priority: rulePriority + 2})
		for _, p := range subnets(w, v6) {
			s.routes.add(route{dst: p, table: unix.RT_TABLE_MAIN})
		}
	}
}

func planTable(fam nftables.TableFamily, w *Want, f facts) *ruleset.Table {
	v6 := fam == nftables.TableFamilyIPv6
	t := ruleset.New(fam, names(f))
	for _, p := range subnets(w, v6) {
		t.PutSubnet(p)
	}
	for _, n := range w.Nodes {
		t.PutOrigin(nodeMAC(n.Index).addr(), nodeMark(n.Index))
		if u := n.Underlay.Unmap(); u.Is6() == v6 {
			t.PutPeer(u)
		}
		for _, task := range ofFamily(n.taskAddrs(), v6) {
			for _, client := range ofFamily(append([]netip.Addr{n.Underlay}, n.Addrs...), v6) {
				t.PutHairpin(client, task)
			}
		}
	}
	for _, task := range w.Tasks {
		for _, a := range ofFamily(task.addrs(), v6) {
			t.PutHairpin(a, a)
		}
	}
	for key, endpoints := range published(w, v6) {
		t.PutPort(key.proto, key.port, endpoints)
	}
	return t
}

func names(f facts) ruleset.Names {
	return ruleset.Names{
		Overlay: Overlay, Tasks: TaskLinkPrefix + "*", MarkTag: markTag, MarkTagMask: markTagMask,
		VNI: uint32(f.vni), VXLANPort: uint16(f.port), NoPickup: f.noPickup,
	}
}

// isPublished reports whether a port is valid, and one of this node.
func (p *Port) isPublished() bool {
	return canPublish(p.Protocol) && (!p.HostMode || len(p.Endpoints) > 0)
}

// owns reports whether the cluster is reached by the port on this node.
func (w *Want) owns(p Port) bool { return slices.Contains(w.Own, Listener{p.Protocol, p.Published}) }

type portKey struct {
	proto byte
	port  uint16
}

// String is the port as people write it: "8111/tcp".
func (k portKey) String() string {
	if k.proto == unix.IPPROTO_UDP {
		return fmt.Sprintf("%d/udp", k.port)
	}
	return fmt.Sprintf("%d/tcp", k.port)
}

// published returns the endpoints of each port in one family, in order of
// address, so that one set of endpoints always gives one state.
func published(w *Want, v6 bool) map[portKey][]netip.AddrPort {
	m := make(map[portKey][]netip.AddrPort)
	for _, p := range w.Ports {
		if !p.isPublished() || w.owns(p) {
			continue
		}
		key := portKey{p.Protocol, p.Published}
		endpoints := m[key]
		for _, e := range p.Endpoints {
			a := e.Addr4
			if v6 {
				a = e.Addr6
			}
			if a.IsValid() {
				endpoints = append(endpoints, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
			}
		}
		slices.SortFunc(endpoints, netip.AddrPort.Compare)
		m[key] = slices.Compact(endpoints)
	}
	return m
}

// subnets returns the subnets of a family without those inside of others.
func subnets(w *Want, v6 bool) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range w.subnets() {
		if p.Addr().Is6() == v6 {
			list = append(list, p.Masked())
		}
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int { return a.Bits() - b.Bits() }) // widest first
	var apart []netip.Prefix
	for _, p := range list {
		if !slices.ContainsFunc(apart, p.Overlaps) {
			apart = append(apart, p)
		}
	}
	return apart
}

func tunnels(index uint32, f facts) []netip.Addr {
	if f.ipv6 {
		return []netip.Addr{tunnel4(index), tunnel6(index)}
	}
	return []netip.Addr{tunnel4(index)}
}

func ofFamily(addrs []netip.Addr, v6 bool) []netip.Addr {
	var list []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.IsValid() && a.Is6() == v6 {
			list = append(list, a)
		}
	}
	return list
}

// host is the prefix of one address.
func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// everything is the default route of an address's family.
func everything(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}
