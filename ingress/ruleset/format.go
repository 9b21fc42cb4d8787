package ruleset

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// String lists the elements of the table, one set after the other, as people
// read them. Chains are shown by nft itself.
func (t *Table) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t.Sets)) {
		var lines []string
		for e, v := range t.Sets[name].Elements {
			lines = append(lines, t.Sets[name].format(e, v))
		}
		slices.Sort(lines)
		for _, l := range lines {
			fmt.Fprintf(&b, "%s %s\n", name, l)
		}
	}
	return b.String()
}

// format writes an element as people read it.
func (s *Set) format(e Element, value string) string {
	text := decode(e.Key, s.Spec.KeyType)
	if e.End {
		text = "before " + text
	}
	switch {
	case s.verdicts():
		return text + " : goto " + value
	case s.Spec.IsMap:
		return text + " : " + decode(value, s.Spec.DataType)
	}
	return text
}

// decode splits the binary form of a type into its parts.
func decode(raw string, typ nftables.SetDatatype) string {
	var parts []string
	for _, p := range nftables.ConcatSetTypeElements(typ) {
		width := (int(p.Bytes) + 3) &^ 3
		if len(raw) < int(p.Bytes) {
			return fmt.Sprintf("%x", raw)
		}
		parts = append(parts, decodePart([]byte(raw[:p.Bytes]), p.Name))
		raw = raw[min(width, len(raw)):]
	}
	return strings.Join(parts, " . ")
}

func decodePart(b []byte, typ string) string {
	switch typ {
	case nftables.TypeInetProto.Name:
		return ProtocolName(b[0])
	case nftables.TypeInetService.Name:
		return fmt.Sprint(binary.BigEndian.Uint16(b))
	case nftables.TypeMark.Name:
		return fmt.Sprintf("%#x", binary.NativeEndian.Uint32(b))
	case nftables.TypeEtherAddr.Name:
		return net.HardwareAddr(b).String()
	case nftables.TypeIPAddr.Name, nftables.TypeIP6Addr.Name:
		a, _ := netip.AddrFromSlice(b)
		return a.String()
	}
	return fmt.Sprintf("%x", b)
}

// ProtocolName names an IP protocol number: tcp, udp, or the number.
func ProtocolName(n byte) string {
	switch n {
	case 6:
		return "tcp"
	case 17:
		return "udp"
	}
	return fmt.Sprint(n)
}
