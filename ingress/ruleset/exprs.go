package ruleset

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The kernel's numbers for what the rules match (linux/netfilter/nf_conntrack_common.h, linux/rtnetlink.h).
const (
	ctInvalid     = 1
	ctEstablished = 1 << 1
	ctRelated     = 1 << 2
	ctNew         = 1 << 3
	ctReply       = 1      // direction
	ctDNAT        = 1 << 5 // status
	typeLocal     = 2      // fib address type RTN_LOCAL
	tcpReset      = unix.NFT_REJECT_TCP_RST
	icmpReject    = unix.NFT_REJECT_ICMP_UNREACH
	icmpPort      = 3 // ICMP port unreachable
	icmp6Port     = 4 // ICMPv6 port unreachable
)

// reg is the i-th 4-byte register. Registers 0 to 3 together are the 16-byte
// register that a lookup of a concatenation reads.
func reg(i int) uint32 { return uint32(unix.NFT_REG32_00 + i) }

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// match compares the first register with a value.
func match(op expr.CmpOp, v []byte) expr.Any { return &expr.Cmp{Op: op, Register: reg(0), Data: v} }

// ifname matches an interface name, or all that begin with it if it ends in *.
func ifname(key expr.MetaKey, op expr.CmpOp, name string) []expr.Any {
	v := make([]byte, unix.IFNAMSIZ)
	copy(v, name)
	if prefix, ok := bytes.CutSuffix([]byte(name), []byte("*")); ok {
		v = prefix
	}
	return []expr.Any{&expr.Meta{Key: key, Register: reg(0)}, match(op, v)}
}

func iif(name string) []expr.Any    { return ifname(expr.MetaKeyIIFNAME, expr.CmpOpEq, name) }
func oif(name string) []expr.Any    { return ifname(expr.MetaKeyOIFNAME, expr.CmpOpEq, name) }
func oifNot(name string) []expr.Any { return ifname(expr.MetaKeyOIFNAME, expr.CmpOpNeq, name) }

func l4proto(proto byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg(0)}, match(expr.CmpOpEq, []byte{proto})}
}

// ctAny matches connections with any of the bits set in a conntrack field.
func ctAny(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg(0)},
		and(bits),
		match(expr.CmpOpNeq, native(0)),
	}
}

func ctDirection(d byte) []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg(0)}, match(expr.CmpOpEq, []byte{d})}
}

// toPort matches datagrams of UDP to a port.
func toPort(port uint16) []expr.Any {
	return append(l4proto(unix.IPPROTO_UDP),
		&expr.Payload{DestRegister: reg(0), Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		match(expr.CmpOpEq, []byte{byte(port >> 8), byte(port)}))
}

// tcpWithout matches segments of TCP with none of the flags.
func tcpWithout(flags byte) []expr.Any {
	return append(l4proto(unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: reg(0), Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: reg(0), DestRegister: reg(0), Len: 1, Mask: []byte{flags}, Xor: []byte{0}},
		match(expr.CmpOpEq, []byte{0}))
}

// and masks the first register.
func and(mask uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: reg(0), DestRegister: reg(0), Len: 4, Mask: native(mask), Xor: native(0)}
}

func toLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg(0), ResultADDRTYPE: true, FlagDADDR: true},
		match(expr.CmpOpEq, native(typeLocal)),
	}
}

// addr loads the source or destination address into registers from i on.
func (f family) addr(dst bool, i int) expr.Any {
	p := &expr.Payload{DestRegister: reg(i), Base: expr.PayloadBaseNetworkHeader, Offset: f.srcOffset, Len: f.addrLen}
	if dst {
		p.Offset += f.addrLen
	}
	return p
}

// inPrefix matches an address in an IPv4 prefix.
func (f family) inPrefix(dst bool, p netip.Prefix) []expr.Any {
	mask := bytes.Repeat([]byte{0xff}, p.Bits()/8)
	mask = append(mask, make([]byte, int(f.addrLen)-len(mask))...)
	return []expr.Any{
		f.addr(dst, 0),
		&expr.Bitwise{SourceRegister: reg(0), DestRegister: reg(0), Len: f.addrLen, Mask: mask, Xor: make([]byte, f.addrLen)},
		match(expr.CmpOpEq, p.Addr().AsSlice()),
	}
}

// port loads protocol and destination port into the first two registers.
func port() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg(0)},
		&expr.Payload{DestRegister: reg(1), Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}
}

// in matches when what the registers hold is, or is not, in the set.
func in(set string, not bool) expr.Any {
	return &expr.Lookup{SourceRegister: reg(0), SetName: set, Invert: not}
}

// hasEndpoint matches what port has loaded if an endpoint is there: any has a slot 0.
func hasEndpoint() []expr.Any {
	return []expr.Any{&expr.Immediate{Register: reg(2), Data: native(0)}, pick(Endpoints)}
}

// pick replaces what the registers hold by its value in the map.
func pick(set string) expr.Any {
	return &expr.Lookup{SourceRegister: reg(0), DestRegister: reg(0), IsDestRegSet: true, SetName: set}
}

// goTo goes to the chain that the verdict map names, if it names one.
func goTo(set string) expr.Any {
	return &expr.Lookup{SourceRegister: reg(0), DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: set}
}

func verdict(k expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: k}} }

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

func counter() []expr.Any { return []expr.Any{&expr.Counter{}} }

// family is what differs between the two tables.
type family struct {
	nft       nftables.TableFamily
	srcOffset uint32 // of the source address in the network header
	addrLen   uint32
	portReg   int // register after an address
	addrType  nftables.SetDatatype
	icmpPort  byte
}

func familyOf(f nftables.TableFamily) family {
	if f == nftables.TableFamilyIPv6 {
		return family{f, 8, 16, 4, nftables.TypeIP6Addr, icmp6Port}
	}
	return family{f, 12, 4, 1, nftables.TypeIPAddr, icmpPort}
}
