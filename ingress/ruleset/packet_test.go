package ruleset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// packet is one packet as a chain sees it.
type packet struct {
	in, out  string // devices
	mac      string // source of the frame
	from, to string // ADDR:PORT
	proto    byte
	vni      uint32 // of the frame within, when the packet carries one
	local    bool   // the destination is the node itself
	flags    byte   // of TCP
	forged   bool   // the source does not lead back to the device it came by

	// The packet's connection.
	state, status uint32
	reply         bool
	ctMark        uint32

	mark uint32
}

// machine carries rules out as the kernel does, for the expressions that the
// rules of this package use. The tests of package ingress ask the kernel itself.
type machine struct {
	t     *testing.T
	table *Table
	turns map[expr.Any]uint32 // of round-robin counters

	p       packet
	regs    [16][4]byte
	verdict string // what became of the packet, "" while it goes on
}

func newMachine(t *testing.T, table *Table) *machine {
	t.Helper()
	return &machine{t: t, table: table, turns: make(map[expr.Any]uint32)}
}

// send takes a packet through a chain. It returns what became of it, "" if the
// chain lets it go on, and the packet with the marks that it and its connection have then.
func (m *machine) send(chain string, p packet) (string, packet) {
	m.t.Helper()
	m.p, m.verdict = p, ""
	m.walk(chain)
	return m.verdict, m.p
}

func (m *machine) walk(chain string) {
	m.t.Helper()
	c := m.table.Chains[chain]
	if c == nil {
		m.t.Fatalf("there is no chain %s", chain)
	}
	for _, r := range c.Rules {
		m.regs = [16][4]byte{}
		for _, e := range r.Exprs {
			if !m.do(e) {
				break
			}
		}
		if m.verdict != "" {
			return
		}
	}
}

// do carries one expression out and tells whether the rule goes on.
func (m *machine) do(e expr.Any) bool {
	m.t.Helper()
	switch e := e.(type) {
	case *expr.Counter:
	case *expr.Verdict:
		m.verdict = map[expr.VerdictKind]string{expr.VerdictAccept: "accept", expr.VerdictDrop: "drop"}[e.Kind]
	case *expr.Notrack:
		m.verdict = "untracked"
	case *expr.Masq:
		m.verdict = "masquerade"
	case *expr.Reject:
		m.verdict = fmt.Sprintf("reject %d/%d", e.Type, e.Code)
	case *expr.NAT:
		a, _ := netip.AddrFromSlice(m.load(e.RegAddrMin, familyOf(nftables.TableFamily(e.Family)).addrLen))
		m.verdict = "to " + netip.AddrPortFrom(a, binary.BigEndian.Uint16(m.load(e.RegProtoMin, 2))).String()
	case *expr.Cmp:
		return bytes.Equal(m.load(e.Register, uint32(len(e.Data))), e.Data) == (e.Op == expr.CmpOpEq)
	case *expr.Bitwise:
		v := m.load(e.SourceRegister, e.Len)
		for i := range v {
			v[i] = v[i]&e.Mask[i] ^ e.Xor[i]
		}
		m.store(e.DestRegister, v)
	case *expr.Immediate:
		m.store(e.Register, e.Data)
	case *expr.Numgen:
		m.store(e.Register, native(m.turns[e]%e.Modulus))
		m.turns[e]++
	case *expr.Fib:
		if e.ResultOIF {
			m.store(e.Register, native(map[bool]uint32{true: 0, false: 7}[m.p.forged]))
			break
		}
		m.store(e.Register, native(map[bool]uint32{true: 2, false: 1}[m.p.local]))
	case *expr.Meta:
		m.meta(e)
	case *expr.Ct:
		m.conntrack(e)
	case *expr.Payload:
		return m.payload(e)
	case *expr.Lookup:
		return m.lookup(e)
	default:
		m.t.Fatalf("the machine does not know %T", e)
	}
	return true
}

func (m *machine) meta(e *expr.Meta) {
	switch {
	case e.SourceRegister && e.Key == expr.MetaKeyMARK:
		m.p.mark = binary.NativeEndian.Uint32(m.load(e.Register, 4))
	case e.Key == expr.MetaKeyMARK:
		m.store(e.Register, native(m.p.mark))
	case e.Key == expr.MetaKeyIIFNAME:
		m.store(e.Register, append([]byte(m.p.in), make([]byte, unix.IFNAMSIZ-len(m.p.in))...))
	case e.Key == expr.MetaKeyOIFNAME:
		m.store(e.Register, append([]byte(m.p.out), make([]byte, unix.IFNAMSIZ-len(m.p.out))...))
	case e.Key == expr.MetaKeyL4PROTO:
		m.store(e.Register, []byte{m.p.proto})
	default:
		m.t.Fatalf("the machine does not know meta %v", e.Key)
	}
}

func (m *machine) conntrack(e *expr.Ct) {
	direction := map[bool]byte{false: 0, true: 1}[m.p.reply]
	switch {
	case e.SourceRegister && e.Key == expr.CtKeyMARK:
		m.p.ctMark = binary.NativeEndian.Uint32(m.load(e.Register, 4))
	case e.Key == expr.CtKeyMARK:
		m.store(e.Register, native(m.p.ctMark))
	case e.Key == expr.CtKeySTATE:
		m.store(e.Register, native(m.p.state))
	case e.Key == expr.CtKeySTATUS:
		m.store(e.Register, native(m.p.status))
	case e.Key == expr.CtKeyDIRECTION:
		m.store(e.Register, []byte{direction})
	default:
		m.t.Fatalf("the machine does not know ct %v", e.Key)
	}
}

func (m *machine) payload(e *expr.Payload) bool {
	header := m.p.header(m.t, e.Base)
	if int(e.Offset+e.Len) > len(header) {
		return false
	}
	m.store(e.DestRegister, header[e.Offset:e.Offset+e.Len])
	return true
}

// header is the packet's header of a layer, as far as the rules read it.
func (p packet) header(t *testing.T, base expr.PayloadBase) []byte {
	t.Helper()
	from, to := netip.MustParseAddrPort(p.from), netip.MustParseAddrPort(p.to)
	switch base {
	case expr.PayloadBaseLLHeader:
		mac, err := net.ParseMAC(p.mac)
		if err != nil {
			t.Fatal(err)
		}
		return append(make([]byte, 6, 12), mac...)
	case expr.PayloadBaseNetworkHeader:
		before := 12
		if from.Addr().Is6() {
			before = 8
		}
		return append(append(make([]byte, before), from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	default:
		h := binary.BigEndian.AppendUint16(nil, from.Port())
		h = append(binary.BigEndian.AppendUint16(h, to.Port()), 0, 0, 0, 0) // length and checksum
		h = append(h, 8, 0, 0, 0)                                           // the VXLAN header's flags
		h = binary.BigEndian.AppendUint32(h, p.vni<<8)
		if p.proto == unix.IPPROTO_TCP {
			h[13] = p.flags
		}
		return h
	}
}

func (m *machine) lookup(e *expr.Lookup) bool {
	m.t.Helper()
	s := m.table.Sets[e.SetName]
	if s == nil {
		m.t.Fatalf("there is no set %s", e.SetName)
	}
	v, found := s.find(string(m.load(e.SourceRegister, s.Spec.KeyType.Bytes)))
	switch {
	case !e.IsDestRegSet:
		return found != e.Invert
	case !found:
		return false
	case s.verdicts():
		m.walk(v)
		return false
	}
	m.store(e.DestRegister, []byte(v))
	return true
}

// find looks a key up: in a set of intervals the last element at or before it counts.
func (s *Set) find(key string) (value string, found bool) {
	if !s.Spec.Interval {
		value, found = s.Elements[Element{Key: key}]
		return value, found
	}
	var last Element
	for e := range s.Elements {
		if e.Key <= key && (e.Key > last.Key || e.Key == last.Key && !e.End) {
			last, found = e, !e.End
		}
	}
	return "", found
}

// load reads bytes from a register on; a register holds four.
func (m *machine) load(register, n uint32) (b []byte) {
	for i := register - unix.NFT_REG32_00; uint32(len(b)) < n; i++ {
		b = append(b, m.regs[i][:]...)
	}
	return b[:n]
}

// store writes registers; the last one is filled with zeros.
func (m *machine) store(register uint32, v []byte) {
	for i := register - unix.NFT_REG32_00; len(v) > 0; i++ {
		m.regs[i] = [4]byte{}
		v = v[copy(m.regs[i][:], v):]
	}
}

// Rules may be tried on packets of both families; an IPv6 address says which.
func (p packet) family() nftables.TableFamily {
	if strings.HasPrefix(p.to, "[") {
		return nftables.TableFamilyIPv6
	}
	return nftables.TableFamilyIPv4
}
