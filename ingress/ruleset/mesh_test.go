package ruleset

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

const (
	tcp = unix.IPPROTO_TCP
	udp = unix.IPPROTO_UDP

	// What becomes of packets to a published port without endpoints.
	reset           = "reject 1/0"
	unreachable     = "reject 0/3" // ICMP: port unreachable
	unreachableIPv6 = "reject 0/4" // ICMPv6: port unreachable
)

var names = Names{Overlay: "mu0", Tasks: "mt*", MarkTag: 0x1000, MarkTagMask: 0xff00ffff, VNI: 0x010203, VXLANPort: 4789}

// mark7 is the mark of node 7.
const mark7 = 7<<16 | 0x1000

var families = []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6}

// node is the tables of a node that publishes tcp port 80 with two endpoints,
// udp port 53 with one and port 81 with none, has the peer .2 and a task that
// it calls itself. Tasks are in 10.88.0.0/16 and fd88::/64.
func node() map[nftables.TableFamily]*Table {
	tables := make(map[nftables.TableFamily]*Table)
	for _, fam := range families {
		addr := func(ipv4, ipv6 string) netip.Addr {
			if fam == nftables.TableFamilyIPv6 {
				return netip.MustParseAddr(ipv6)
			}
			return netip.MustParseAddr(ipv4)
		}
		a, b := addr("10.88.0.1", "fd88::1"), addr("10.88.0.2", "fd88::2")
		t := New(fam, names)
		t.PutPort(tcp, 80, []netip.AddrPort{netip.AddrPortFrom(a, 8080), netip.AddrPortFrom(b, 8080)})
		t.PutPort(udp, 53, []netip.AddrPort{netip.AddrPortFrom(b, 5353)})
		t.PutPort(tcp, 81, nil)
		t.PutPort(udp, 81, nil)
		t.PutPeer(addr("192.0.2.2", "2001:db8::2"))
		t.PutHairpin(addr("192.0.2.1", "2001:db8::1"), a)
		t.PutSubnet(netip.PrefixFrom(addr("10.88.0.0", "fd88::"), map[nftables.TableFamily]int{2: 16, 10: 64}[fam]))
		mac, _ := net.ParseMAC("02:00:00:00:00:07")
		t.PutOrigin(mac, mark7)
		tables[fam] = t
	}
	return tables
}

// What each chain does with one packet; "" lets it go on.
func TestPackets(t *testing.T) {
	const (
		client  = "198.51.100.9:4000"
		client6 = "[2001:db8:9::9]:4000"
	)
	tests := map[string]struct {
		chain string
		p     packet
		want  string
	}{
		// Published ports.
		"to a published port":                     {"publish", packet{from: client, to: "192.0.2.1:80", proto: tcp, local: true}, "to 10.88.0.1:8080"},
		"to a published port, IPv6":               {"publish", packet{from: client6, to: "[2001:db8::1]:80", proto: tcp, local: true}, "to [fd88::1]:8080"},
		"to the number in another protocol":       {"publish", packet{from: client, to: "192.0.2.1:80", proto: udp, local: true}, ""},
		"to a published udp port":                 {"publish", packet{from: client, to: "192.0.2.1:53", proto: udp, local: true}, "to 10.88.0.2:5353"},
		"to a port that is not published":         {"publish", packet{from: client, to: "192.0.2.1:22", proto: tcp, local: true}, ""},
		"through the node, to that port of other": {"publish", packet{from: client, to: "203.0.113.1:80", proto: tcp}, ""},
		"from the node itself":                    {"publish_local", packet{from: "192.0.2.1:4000", to: "192.0.2.1:80", proto: tcp, local: true}, "to 10.88.0.1:8080"},
		"from the node to 127.0.0.1":              {"publish_local", packet{from: "127.0.0.1:4000", to: "127.0.0.1:80", proto: tcp, local: true}, "to 10.88.0.1:8080"},
		"from the node to ::1, which would hang":  {"publish_local", packet{from: "[::1]:4000", to: "[::1]:80", proto: tcp, local: true}, ""},
		"from the node to its own IPv6 address":   {"publish_local", packet{from: "[2001:db8::1]:4000", to: "[2001:db8::1]:80", proto: tcp, local: true}, "to [fd88::1]:8080"},
		"from the node to that port of another":   {"publish_local", packet{from: "192.0.2.1:4000", to: "203.0.113.1:80", proto: tcp}, ""},

		// Published without an endpoint.
		"to an empty port":                        {"input", packet{from: client, to: "192.0.2.1:81", proto: tcp, state: ctNew}, reset},
		"to an empty udp port":                    {"input", packet{from: client, to: "192.0.2.1:81", proto: udp, state: ctNew}, unreachable},
		"to an empty port, IPv6":                  {"input", packet{from: client6, to: "[2001:db8::1]:81", proto: tcp, state: ctNew}, reset},
		"to an empty udp port, IPv6":              {"input", packet{from: client6, to: "[2001:db8::1]:81", proto: udp, state: ctNew}, unreachableIPv6},
		"of a connection to what was there":       {"input", packet{from: client, to: "192.0.2.1:81", proto: tcp, state: ctEstablished}, ""},
		"to a service of the host":                {"input", packet{from: client, to: "192.0.2.1:22", proto: tcp, state: ctNew}, ""},
		"to a port that has endpoints":            {"input", packet{from: client, to: "192.0.2.1:80", proto: tcp, state: ctNew}, "drop"},
		"to one that has, IPv6":                   {"input", packet{from: client6, to: "[2001:db8::1]:80", proto: tcp, state: ctNew}, "drop"},
		"to one that has, from localhost, IPv6":   {"input", packet{from: "[::1]:4000", to: "[::1]:80", proto: tcp, state: ctNew}, ""},
		"to the host, before it had any":          {"input", packet{from: client, to: "192.0.2.1:80", proto: tcp, state: ctEstablished}, ""},
		"to the empty port's number over another": {"input", packet{from: client, to: "192.0.2.1:81", proto: 132, state: ctNew}, ""},

		// Frames of the overlay.
		"a frame of a peer":              {"input", packet{from: "192.0.2.2:5000", to: "192.0.2.1:4789", proto: udp, vni: names.VNI}, ""},
		"a frame of a stranger":          {"input", packet{from: client, to: "192.0.2.1:4789", proto: udp, vni: names.VNI}, "drop"},
		"a frame of a stranger, IPv6":    {"input", packet{from: client6, to: "[2001:db8::1]:4789", proto: udp, vni: names.VNI}, "drop"},
		"a frame of a peer, IPv6":        {"input", packet{from: "[2001:db8::2]:5000", to: "[2001:db8::1]:4789", proto: udp, vni: names.VNI}, ""},
		"a stranger's in another VXLAN":  {"input", packet{from: client, to: "192.0.2.1:4789", proto: udp, vni: 9}, ""},
		"a stranger's to another port":   {"input", packet{from: client, to: "192.0.2.1:8472", proto: udp, vni: names.VNI}, ""},
		"a stranger's that is not a udp": {"input", packet{from: client, to: "192.0.2.1:4789", proto: tcp, vni: names.VNI}, ""},

		"of a peer, when it comes":       {"guard", packet{in: "eth0", from: "192.0.2.2:5000", to: "192.0.2.1:4789", proto: udp, local: true}, "untracked"},
		"of a peer, IPv6, when it comes": {"guard", packet{in: "eth0", from: "[2001:db8::2]:5000", to: "[2001:db8::1]:4789", proto: udp, local: true}, "untracked"},
		"of a stranger, when it comes":   {"guard", packet{in: "eth0", from: client, to: "192.0.2.1:4789", proto: udp, local: true}, ""},
		"of a peer, through this node":   {"guard", packet{in: "eth0", from: "192.0.2.2:5000", to: "203.0.113.1:4789", proto: udp}, ""},
		"of a peer, to another port":     {"guard", packet{in: "eth0", from: "192.0.2.2:5000", to: "192.0.2.1:53", proto: udp, local: true}, ""},
		"to a peer":                      {"untracked", packet{out: "eth0", from: "192.0.2.1:5000", to: "192.0.2.2:4789", proto: udp}, "untracked"},
		"to a peer, IPv6":                {"untracked", packet{out: "eth0", from: "[2001:db8::1]:5000", to: "[2001:db8::2]:4789", proto: udp}, "untracked"},
		"to another machine":             {"untracked", packet{out: "eth0", from: "192.0.2.1:5000", to: "203.0.113.1:4789", proto: udp}, ""},
		"to a peer's other port":         {"untracked", packet{out: "eth0", from: "192.0.2.1:5000", to: "192.0.2.2:53", proto: udp}, ""},

		"a task's own":                  {"forward", packet{in: "mt12", out: "eth0", from: "10.88.0.1:4000", to: "192.0.2.2:4789", proto: udp, state: ctNew}, "drop"},
		"a task's own, of a known flow": {"forward", packet{in: "mt12", out: "eth0", from: "10.88.0.1:4000", to: "192.0.2.2:4789", proto: udp, state: ctEstablished}, "drop"},
		"a task's own, IPv6":            {"forward", packet{in: "mt12", out: "eth0", from: "[fd88::1]:4000", to: "[2001:db8::2]:4789", proto: udp, state: ctNew}, "drop"},
		"a task's tcp":                  {"forward", packet{in: "mt12", out: "eth0", from: "10.88.0.1:4000", to: "192.0.2.2:4789", proto: tcp, state: ctNew}, "accept"},

		// Old segments that come late, which the kernel translates no more.
		"late, from a task here":              {"forward", packet{in: "mt12", out: "eth0", from: "10.88.0.1:80", to: client, proto: tcp, state: ctInvalid}, "drop"},
		"late, from a task here, IPv6":        {"forward", packet{in: "mt12", out: "eth0", from: "[fd88::1]:80", to: client6, proto: tcp, state: ctInvalid}, "drop"},
		"late, from another node":             {"forward", packet{in: "mu0", out: "eth0", from: "10.88.9.1:80", to: client, proto: tcp, state: ctInvalid}, "drop"},
		"late, from a task to the node":       {"input", packet{in: "mt12", from: "10.88.0.1:80", to: "192.0.2.1:4000", proto: tcp, state: ctInvalid}, "drop"},
		"late, from another node's task":      {"input", packet{in: "mu0", from: "10.88.9.1:80", to: "192.0.2.1:4000", proto: tcp, state: ctInvalid}, "drop"},
		"late, from a client":                 {"input", packet{in: "eth0", from: client, to: "192.0.2.1:80", proto: tcp, state: ctInvalid, flags: 0x18}, "drop"},
		"late, from a client, IPv6":           {"input", packet{in: "eth0", from: client6, to: "[2001:db8::1]:80", proto: tcp, state: ctInvalid, flags: 0x10}, "drop"},
		"a client ends what nobody knows":     {"input", packet{in: "eth0", from: client, to: "192.0.2.1:80", proto: tcp, state: ctInvalid, flags: 0x11}, ""},
		"late, from a client of the host":     {"input", packet{in: "eth0", from: client, to: "192.0.2.1:22", proto: tcp, state: ctInvalid, flags: 0x10}, ""},
		"late, to a port without an endpoint": {"input", packet{in: "eth0", from: client, to: "192.0.2.1:81", proto: tcp, state: ctInvalid, flags: 0x10}, ""},
		"late, what is another's":             {"forward", packet{in: "eth0", out: "docker0", from: client, to: "172.17.0.2:80", proto: tcp, state: ctInvalid}, ""},
		"an error about what nobody knows":    {"forward", packet{in: "mu0", out: "mt12", from: client, to: "10.88.0.1:0", proto: 1, state: ctInvalid}, "accept"},

		// Addresses that a task does not have.
		"a task as another":       {"guard", packet{in: "mt12", from: "10.88.0.9:4000", to: client, proto: udp, forged: true}, "drop"},
		"a task as another, IPv6": {"guard", packet{in: "mt12", from: "[fd88::9]:4000", to: client6, proto: udp, forged: true}, "drop"},
		"a client by another way": {"guard", packet{in: "mu0", from: client, to: "10.88.0.1:80", proto: udp, forged: true}, ""},

		// Loopback addresses, which route_localnet opens on the devices of tasks and peers.
		"from a task to 127.0.0.1":     {"guard", packet{in: "mt12", from: "10.88.0.1:4000", to: "127.0.0.1:2377", proto: tcp}, "drop"},
		"from a task to 127.8.8.8":     {"guard", packet{in: "mt12", from: "10.88.0.1:4000", to: "127.8.8.8:2377", proto: tcp}, "drop"},
		"from the overlay to it":       {"guard", packet{in: "mu0", from: "10.88.9.1:4000", to: "127.0.0.1:2377", proto: tcp}, "drop"},
		"from a task, as 127.0.0.1":    {"guard", packet{in: "mt12", from: "127.0.0.1:4000", to: "192.0.2.1:2377", proto: tcp}, "drop"},
		"from the overlay, as it":      {"guard", packet{in: "mu0", from: "127.0.0.1:4000", to: "192.0.2.1:2377", proto: tcp}, "drop"},
		"of the node to itself":        {"guard", packet{in: "lo", from: "127.0.0.1:4000", to: "127.0.0.1:2377", proto: tcp}, ""},
		"from a task to its node":      {"guard", packet{in: "mt12", from: "10.88.0.1:4000", to: "192.0.2.1:2377", proto: tcp}, ""},
		"from a device called alike":   {"guard", packet{in: "mu0.1", from: "127.0.0.1:4000", to: "127.0.0.1:2377", proto: tcp}, ""},
		"from a task to 128.0.0.1":     {"guard", packet{in: "mt12", from: "10.88.0.1:4000", to: "128.0.0.1:80", proto: tcp}, ""},
		"from a task to ::1, in IPv6":  {"forward", packet{in: "mt12", out: "eth0", from: "[fd88::1]:4000", to: "[::1]:80", proto: tcp, state: ctNew}, "accept"}, // the kernel itself drops it
		"what is another's, not ours":  {"forward", packet{in: "eth0", out: "docker0", from: client, to: "172.17.0.2:80", proto: tcp, state: ctNew}, ""},
		"in, published":                {"forward", packet{in: "eth0", out: "mt12", from: client, to: "10.88.0.1:8080", proto: tcp, state: ctNew, status: ctDNAT}, "accept"},
		"in, published, to other node": {"forward", packet{in: "eth0", out: "mu0", from: client, to: "10.88.9.1:8080", proto: tcp, state: ctNew, status: ctDNAT}, "accept"},
		"in, not published":            {"forward", packet{in: "eth0", out: "mt12", from: client, to: "10.88.0.1:8080", proto: tcp, state: ctNew}, "drop"},
		"in, not published, IPv6":      {"forward", packet{in: "eth0", out: "mt12", from: client6, to: "[fd88::1]:8080", proto: tcp, state: ctNew}, "drop"},
		"into the overlay":             {"forward", packet{in: "eth0", out: "mu0", from: client, to: "10.88.9.1:8080", proto: tcp, state: ctNew}, "drop"},
		"in, an answer to a task":      {"forward", packet{in: "eth0", out: "mt12", from: client, to: "10.88.0.1:4000", proto: tcp, state: ctEstablished}, "accept"},
		"in, an error about one":       {"forward", packet{in: "eth0", out: "mt12", from: client, to: "10.88.0.1:4000", proto: 1, state: ctRelated}, "accept"},
		"from a task to outside":       {"forward", packet{in: "mt12", out: "eth0", from: "10.88.0.1:4000", to: client, proto: tcp, state: ctNew}, "accept"},
		"from another node to a task":  {"forward", packet{in: "mu0", out: "mt12", from: client, to: "10.88.0.1:8080", proto: tcp, state: ctNew}, "accept"},

		// Whose address is replaced.
		"a client's to a task here":              {"outbound", packet{out: "mt12", from: client, to: "10.88.0.2:8080"}, ""},
		"a client's to a task elsewhere":         {"outbound", packet{out: "mu0", from: client, to: "10.88.9.1:8080"}, ""},
		"localhost's to a task here":             {"outbound", packet{out: "mt12", from: "127.0.0.1:4000", to: "10.88.0.1:8080"}, "masquerade"},
		"localhost's to a task elsewhere":        {"outbound", packet{out: "mu0", from: "127.0.0.1:4000", to: "10.88.9.1:8080"}, "masquerade"},
		"a node's own to its own task":           {"outbound", packet{out: "mt12", from: "192.0.2.1:4000", to: "10.88.0.1:8080"}, "masquerade"},
		"a node's own to its own task, IPv6":     {"outbound", packet{out: "mt12", from: "[2001:db8::1]:4000", to: "[fd88::1]:8080"}, "masquerade"},
		"that client's to another task":          {"outbound", packet{out: "mt12", from: "192.0.2.1:4000", to: "10.88.0.2:8080"}, ""},
		"a task's to the outside":                {"outbound", packet{out: "eth0", from: "10.88.0.1:4000", to: client}, "masquerade"},
		"a task's to the outside, IPv6":          {"outbound", packet{out: "eth0", from: "[fd88::1]:4000", to: client6}, "masquerade"},
		"the last address of the subnet":         {"outbound", packet{out: "eth0", from: "10.88.255.255:4000", to: client}, "masquerade"},
		"the first address behind it":            {"outbound", packet{out: "eth0", from: "10.89.0.0:4000", to: client}, ""},
		"a task's to a task elsewhere":           {"outbound", packet{out: "mu0", from: "10.88.0.1:4000", to: "10.88.9.1:80"}, ""},
		"a task's to a task here":                {"outbound", packet{out: "mt13", from: "10.88.0.1:4000", to: "10.88.0.2:80"}, ""},
		"the node's own to the outside":          {"outbound", packet{out: "eth0", from: "192.0.2.1:4000", to: client}, ""},
		"a stranger's, routed through this node": {"outbound", packet{out: "eth0", from: "203.0.113.4:4000", to: client}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, _ := newMachine(t, node()[tt.p.family()]).send(tt.chain, tt.p)
			if got != tt.want {
				t.Errorf("%s: %q, want %q", tt.chain, got, tt.want)
			}
		})
	}
}

func TestConnectionsAreSpreadEvenly(t *testing.T) {
	for _, fam := range families {
		client, to := "198.51.100.9:4000", "192.0.2.1:80"
		if fam == nftables.TableFamilyIPv6 {
			client, to = "[2001:db8:9::9]:4000", "[2001:db8::1]:80"
		}
		for _, endpoints := range []int{1, 2, 3, 7} {
			table := New(fam, names)
			table.PutPort(tcp, 80, taskAddrs(fam, endpoints))
			m, got := newMachine(t, table), make(map[string]int)
			for range 4 * endpoints {
				where, _ := m.send("publish", packet{from: client, to: to, proto: tcp, local: true})
				got[where]++
			}
			for _, e := range taskAddrs(fam, endpoints) {
				if n := got["to "+e.String()]; n != 4 {
					t.Errorf("%d endpoints: %s got %d of %d connections", endpoints, e, n, 4*endpoints)
				}
			}
		}
	}
}

// taskAddrs returns that many endpoints.
func taskAddrs(fam nftables.TableFamily, n int) (list []netip.AddrPort) {
	a := netip.MustParseAddr("10.88.0.0")
	if fam == nftables.TableFamilyIPv6 {
		a = netip.MustParseAddr("fd88::")
	}
	for range n {
		a = a.Next()
		list = append(list, netip.AddrPortFrom(a, 8080))
	}
	return list
}

// Ports called in turns have turns of their own, so that neither reaches every
// second endpoint only.
func TestNeighbouringPortsDoNotTakeEachOthersTurns(t *testing.T) {
	table := New(nftables.TableFamilyIPv4, names)
	for port := uint16(80); port < 80+shards; port++ {
		table.PutPort(tcp, port, taskAddrs(table.Family, 2))
	}
	m := newMachine(t, table)
	for range 2 {
		seen := make(map[string]bool)
		for port := 80; port < 80+shards; port++ {
			where, _ := m.send("publish", packet{from: "198.51.100.9:4000", to: fmt.Sprint("192.0.2.1:", port), proto: tcp, local: true})
			seen[where] = true
		}
		if len(seen) != 1 {
			t.Errorf("in one round the ports went to %v, want each its own turn", seen)
		}
	}
}

// A client whose endpoint goes as its first packet is on its way sends it again.
func TestPacketToASlotThatHasJustGoneIsDropped(t *testing.T) {
	table := node()[nftables.TableFamilyIPv4]
	clear(table.Sets[Endpoints].Elements)
	got, _ := newMachine(t, table).send("publish", packet{from: "198.51.100.9:4000", to: "192.0.2.1:80", proto: tcp, local: true})
	if got != "drop" {
		t.Errorf("%q, want it dropped", got)
	}
}

func TestReplyGoesByTheNodeThatTheConnectionCameInBy(t *testing.T) {
	for _, fam := range families {
		client, task := "198.51.100.9:4000", "10.88.0.1:8080"
		if fam == nftables.TableFamilyIPv6 {
			client, task = "[2001:db8:9::9]:4000", "[fd88::1]:8080"
		}
		m := newMachine(t, node()[fam])
		in := packet{in: "mu0", mac: "02:00:00:00:00:07", from: client, to: task, proto: tcp, state: ctNew}
		_, noted := m.send("remember", in)
		if noted.ctMark != mark7 || noted.mark != 0 {
			t.Errorf("a connection by node 7 is marked %#x, its packet %#x", noted.ctMark, noted.mark)
		}
		out := packet{in: "mt12", from: task, to: client, proto: tcp, state: ctEstablished, reply: true, ctMark: noted.ctMark}
		if _, reply := m.send("remember", out); reply.mark != mark7 {
			t.Errorf("its reply is marked %#x", reply.mark)
		}
		routed := packet{out: "mu0", from: task, to: client, mark: mark7}
		if _, outer := m.send("forget", routed); outer.mark != 0 {
			t.Errorf("once it is routed its mark is %#x", outer.mark)
		}
	}
}

func TestUnmarked(t *testing.T) {
	const client, task = "198.51.100.9:4000", "10.88.0.1:8080"
	tests := map[string]struct {
		chain string
		p     packet
	}{
		"by a node that is not known":   {"remember", packet{in: "mu0", mac: "02:00:00:00:00:08", from: client, to: task, state: ctNew}},
		"not by the overlay":            {"remember", packet{in: "eth0", mac: "02:00:00:00:00:07", from: client, to: task, state: ctNew}},
		"not the first packet":          {"remember", packet{in: "mu0", mac: "02:00:00:00:00:07", from: client, to: task, state: ctEstablished}},
		"a reply to a local client":     {"remember", packet{in: "mt12", from: task, to: client, state: ctEstablished, reply: true}},
		"a task's own connection":       {"remember", packet{in: "mt12", from: task, to: client, state: ctEstablished, ctMark: mark7}},
		"another's mark":                {"remember", packet{in: "mt12", from: task, to: client, state: ctEstablished, reply: true, ctMark: 0x1f}},
		"Tailscale's, in node 7's bits": {"remember", packet{in: "mt12", from: task, to: client, state: ctEstablished, reply: true, ctMark: 7 << 16}},
		"another's, into the overlay":   {"forget", packet{out: "mu0", from: task, to: client, mark: 7 << 16}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, p := newMachine(t, node()[nftables.TableFamilyIPv4]).send(tt.chain, tt.p); p.mark != tt.p.mark || p.ctMark != tt.p.ctMark {
				t.Errorf("marks are %#x and %#x, want those from before, %#x and %#x", p.mark, p.ctMark, tt.p.mark, tt.p.ctMark)
			}
		})
	}
	p := packet{out: "eth0", from: task, to: client, mark: mark7}
	if _, got := newMachine(t, node()[nftables.TableFamilyIPv4]).send("forget", p); got.mark != p.mark {
		t.Error("a packet that does not go into the overlay has lost its mark")
	}
}
