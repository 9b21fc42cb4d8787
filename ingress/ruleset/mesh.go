package ruleset

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Names are what the rules need to know of the node's other kernel state.
type Names struct {
	Overlay     string // the VXLAN device
	Tasks       string // the host ends of tasks' veths, with a trailing *
	MarkTag     uint32 // what the marks of ingress nodes have in common
	MarkTagMask uint32 // the bits of MarkTag; the others tell the nodes apart
	VNI         uint32 // VXLAN network identifier, 24 bits
	VXLANPort   uint16
	// NoPickup says that the middle of a connection which the kernel does not
	// know is invalid, and not new (net.netfilter.nf_conntrack_tcp_loose is 0).
	NoPickup bool
}

// The sets of a table.
const (
	Ports     = "ports"     // protocol . published port → goto the balancer for its endpoint count
	Endpoints = "endpoints" // protocol . published port . slot → task address . task port
	Empty     = "empty"     // protocol . published port of those with no endpoint
	Origin    = "origin"    // MAC of a node's VXLAN device → mark
	Peers     = "peers"     // data-path addresses that may send VXLAN frames
	Subnets   = "subnets"   // where task addresses come from
	Hairpin   = "hairpin"   // client address . task address, when both are on one node
)

// New returns the table of a mesh that publishes nothing.
func New(fam nftables.TableFamily, n Names) *Table {
	f := familyOf(fam)
	t := &Table{ID: ID{Family: fam, Name: Mesh}, Chains: make(map[string]*Chain), Sets: make(map[string]*Set)}
	t.addSets(f)
	hook := func(name string, typ nftables.ChainType, h *nftables.ChainHook, prio *nftables.ChainPriority, rules ...Rule) {
		t.Chains[name] = &Chain{Type: typ, Hook: h, Priority: prio, Rules: rules}
	}
	hook("guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw, guard(f, n)...)
	hook("untracked", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityRaw, untracked(f, n)...)
	hook("remember", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityMangle, remember(f, n)...)
	hook("publish", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, publish(f)...)
	hook("publish_local", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, publishLocal(f)...)
	hook("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter, input(f, n)...)
	hook("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, forward(f, n)...)
	hook("forget", nftables.ChainTypeFilter, nftables.ChainHookPostrouting, nftables.ChainPriorityMangle, forget(f, n)...)
	hook("outbound", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, outbound(f, n)...)
	return t
}

func (t *Table) addSets(f family) {
	port := nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
	slot := nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeMark)
	endpoint := nftables.MustConcatSetType(f.addrType, nftables.TypeInetService)
	pair := nftables.MustConcatSetType(f.addrType, f.addrType)
	for _, s := range []nftables.Set{
		{Name: Ports, KeyType: port, Concatenation: true, IsMap: true, DataType: nftables.TypeVerdict},
		{Name: Endpoints, KeyType: slot, Concatenation: true, IsMap: true, DataType: endpoint},
		{Name: Empty, KeyType: port, Concatenation: true},
		{Name: Origin, KeyType: nftables.TypeEtherAddr, IsMap: true, DataType: nftables.TypeMark},
		{Name: Peers, KeyType: f.addrType},
		{Name: Subnets, KeyType: f.addrType, Interval: true},
		{Name: Hairpin, KeyType: pair, Concatenation: true},
	} {
		s.KeyByteOrder = binaryutil.BigEndian
		t.Sets[s.Name] = &Set{Spec: s, Elements: make(map[Element]string)}
	}
}

// guard keeps tasks and peers away from the node's loopback addresses, which
// route_localnet on their devices would open to them. It runs before
// conntrack rewrites replies, so that the answers to a process that called
// 127.0.0.1 are not yet addressed to it here.
//
// It also drops what a task sends from an address that does not lead back to
// its own device: services trust the address of their client.
func guard(f family, n Names) []Rule {
	rules := []Rule{
		rule(f.nft, "tasks do not forge addresses", iif(n.Tasks), []expr.Any{
			&expr.Fib{Register: reg(0), FlagSADDR: true, FlagIIF: true, ResultOIF: true},
			match(expr.CmpOpEq, native(0)),
		}, counter(), verdict(expr.VerdictDrop)),
		rule(f.nft, "frames are not tracked", toPort(n.VXLANPort), toLocal(),
			[]expr.Any{f.addr(false, 0), in(Peers, false), &expr.Notrack{}}),
	}
	if f.nft == nftables.TableFamilyIPv6 {
		return rules // IPv6 has no route_localnet: the kernel drops ::1 from outside
	}
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	for _, dev := range []string{n.Tasks, n.Overlay} {
		rules = append(rules,
			rule(f.nft, "loopback is not for "+dev, iif(dev), f.inPrefix(true, loopback), counter(), verdict(expr.VerdictDrop)),
			rule(f.nft, "loopback is not from "+dev, iif(dev), f.inPrefix(false, loopback), counter(), verdict(expr.VerdictDrop)))
	}
	return rules
}

// untracked keeps frames to other nodes, and guard those from them, out of
// connection tracking: for each connection within them they are two more, from
// another port each and without a reply, and the table of a node with many would
// be full three times as soon.
func untracked(f family, n Names) []Rule {
	return []Rule{rule(f.nft, "frames are not tracked", toPort(n.VXLANPort),
		[]expr.Any{f.addr(true, 0), in(Peers, false), &expr.Notrack{}})}
}

// remember notes which node a connection came in by, and marks its replies so
// that policy routing sends them back by that node.
func remember(f family, n Names) []Rule {
	sourceMAC := &expr.Payload{DestRegister: reg(0), Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6}
	return []Rule{
		rule(f.nft, "note the ingress node", iif(n.Overlay), ctAny(expr.CtKeySTATE, ctNew), []expr.Any{
			sourceMAC, pick(Origin), &expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: reg(0)},
		}),
		rule(f.nft, "reply by the ingress node", iif(n.Tasks), ctDirection(ctReply), []expr.Any{
			&expr.Ct{Key: expr.CtKeyMARK, Register: reg(0)},
			and(n.MarkTagMask),
			match(expr.CmpOpEq, native(n.MarkTag)),
			&expr.Ct{Key: expr.CtKeyMARK, Register: reg(0)},
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg(0)},
		}),
	}
}

// forget clears the mark once it has chosen the route: the outer packet would
// inherit it and be routed into the tunnel again.
func forget(f family, n Names) []Rule {
	return []Rule{rule(f.nft, "the outer packet has no mark", oif(n.Overlay), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg(0)},
		and(n.MarkTagMask),
		match(expr.CmpOpEq, native(n.MarkTag)),
		and(0),
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg(0)},
	})}
}

func publish(f family) []Rule {
	return []Rule{rule(f.nft, "published ports", toLocal(), port(), []expr.Any{goTo(Ports)})}
}

// publishLocal is publish for the node's own processes. ::1 is left out: the
// kernel sends nothing from ::1 to another interface, so the connection would
// hang; refused, clients of localhost go on to 127.0.0.1.
func publishLocal(f family) []Rule {
	return []Rule{rule(f.nft, "published ports, from this node", notLoopback(f), toLocal(), port(), []expr.Any{goTo(Ports)})}
}

// notLoopback matches all but ::1.
func notLoopback(f family) []expr.Any {
	if f.nft != nftables.TableFamilyIPv6 {
		return nil
	}
	return []expr.Any{f.addr(true, 0), match(expr.CmpOpNeq, netip.IPv6Loopback().AsSlice())}
}

// input refuses VXLAN frames of strangers, and at once what is published but
// has no endpoint; an unpublished service of the host on that port stays out
// of sight. What was to be translated and was not is dropped, see missed.
func input(f family, n Names) []Rule {
	vni := []byte{byte(n.VNI >> 16), byte(n.VNI >> 8), byte(n.VNI)}
	ours := []expr.Any{
		&expr.Payload{DestRegister: reg(0), Base: expr.PayloadBaseTransportHeader, Offset: 12, Len: 3},
		match(expr.CmpOpEq, vni),
	}
	isEmpty := append(port(), in(Empty, false))
	return append(append(outOfWindow(f, n), missed(f)),
		rule(f.nft, "frames come from nodes", toPort(n.VXLANPort), ours,
			[]expr.Any{f.addr(false, 0), in(Peers, true)}, counter(), verdict(expr.VerdictDrop)),
		rule(f.nft, "no endpoint", ctAny(expr.CtKeySTATE, ctNew), l4proto(unix.IPPROTO_TCP), isEmpty,
			[]expr.Any{&expr.Reject{Type: tcpReset}}),
		rule(f.nft, "no endpoint", ctAny(expr.CtKeySTATE, ctNew), isEmpty,
			[]expr.Any{&expr.Reject{Type: icmpReject, Code: f.icmpPort}}))
}

// missed drops what begins a connection to a published port and has come to the
// node itself. The kernel walks the rules of the generation in which a packet
// came, but looks into a set again when that changes meanwhile: it may find a
// balancer that has no rules in the older generation. The client sends the packet
// again, whereas the node would refuse it.
func missed(f family) Rule {
	return rule(f.nft, "a change overtook it", ctAny(expr.CtKeySTATE, ctNew), notLoopback(f), port(), hasEndpoint(),
		counter(), verdict(expr.VerdictDrop))
}

// outOfWindow drops, of what reaches the node itself, what belongs to a
// connection of a task but was not translated, see invalid. A client that ends a
// connection which nobody knows any more is told so as ever; where the middle of
// one is invalid too, it is told by these.
func outOfWindow(f family, n Names) []Rule {
	rules := invalid(f, n)
	if n.NoPickup {
		return rules
	}
	const finSynRst = 1 | 1<<1 | 1<<2
	return append(rules, rule(f.nft, "out of its connection's window, to a published port", tcpWithout(finSynRst),
		ctAny(expr.CtKeySTATE, ctInvalid), port(), hasEndpoint(), counter(), verdict(expr.VerdictDrop)))
}

// invalid drops what tasks and other nodes send that is of no connection to the
// kernel, such as an old segment that comes late. It is not translated, so
// whoever got it would not know it, and would reset the connection that it is of.
func invalid(f family, n Names) (rules []Rule) {
	for _, dev := range []string{n.Tasks, n.Overlay} {
		rules = append(rules, rule(f.nft, "out of its connection's window, from "+dev, iif(dev), l4proto(unix.IPPROTO_TCP),
			ctAny(expr.CtKeySTATE, ctInvalid), counter(), verdict(expr.VerdictDrop)))
	}
	return rules
}

// forward lets in from outside only what was published.
func forward(f family, n Names) []Rule {
	accept, drop := verdict(expr.VerdictAccept), verdict(expr.VerdictDrop)
	return append(invalid(f, n),
		// They would leave with the node's address, which other nodes trust.
		rule(f.nft, "frames do not come from tasks", iif(n.Tasks), toPort(n.VXLANPort), counter(), drop),
		rule(f.nft, "known connections", ctAny(expr.CtKeySTATE, ctEstablished|ctRelated), accept),
		rule(f.nft, "from tasks here", iif(n.Tasks), accept),
		rule(f.nft, "from other nodes", iif(n.Overlay), accept),
		rule(f.nft, "published", ctAny(expr.CtKeySTATUS, ctDNAT), accept),
		rule(f.nft, "not published", oif(n.Tasks), counter(), drop),
		rule(f.nft, "not published", oif(n.Overlay), counter(), drop))
}

// outbound replaces the client's address where a reply to it would not
// come back this way, and a task's address where nobody outside knows it.
func outbound(f family, n Names) []Rule {
	var rules []Rule
	if f.nft == nftables.TableFamilyIPv4 {
		loopback := netip.MustParsePrefix("127.0.0.0/8")
		rules = append(rules,
			rule(f.nft, "localhost to a task here", oif(n.Tasks), f.inPrefix(false, loopback), masquerade()),
			rule(f.nft, "localhost to a task elsewhere", oif(n.Overlay), f.inPrefix(false, loopback), masquerade()))
	}
	return append(rules,
		rule(f.nft, "client and task on one node",
			[]expr.Any{f.addr(false, 0), f.addr(true, f.portReg), in(Hairpin, false)}, masquerade()),
		rule(f.nft, "tasks to the outside", oifNot(n.Tasks), oifNot(n.Overlay),
			[]expr.Any{f.addr(false, 0), in(Subnets, false)}, masquerade()))
}

// shards is how many round-robin counters there are for each endpoint count.
// With one, two ports called in turns would each reach every second endpoint only.
const shards = 64

func balancerName(endpoints int, published uint16) string {
	return fmt.Sprintf("d%d_%d", endpoints, published%shards)
}

// balancer spreads connections evenly over the endpoints of a port. A packet
// that got here as its slot was taken away is dropped: the client sends it
// again, whereas without a match it would be refused.
func balancer(f family, endpoints int) *Chain {
	return &Chain{Rules: []Rule{
		rule(f.nft, "spread", port(), []expr.Any{
			&expr.Numgen{Register: reg(2), Modulus: uint32(endpoints), Type: unix.NFT_NG_INCREMENTAL},
			pick(Endpoints),
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f.nft), RegAddrMin: reg(0), RegProtoMin: reg(f.portReg), Specified: true},
		}),
		rule(f.nft, "the slot has just gone", verdict(expr.VerdictDrop)),
	}}
}
