package ruleset

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// PutPort publishes a port: connections to it are spread over the endpoints,
// or refused at once when there are none. Endpoints must be of the table's
// family. Their order is the order of their slots.
func (t *Table) PutPort(proto byte, published uint16, endpoints []netip.AddrPort) {
	key := portKey(proto, published)
	if len(endpoints) == 0 {
		t.put(Empty, key, "")
		return
	}
	chain := balancerName(len(endpoints), published)
	if t.Chains[chain] == nil {
		t.Chains[chain] = balancer(familyOf(t.Family), len(endpoints))
	}
	t.put(Ports, key, chain)
	for slot, e := range endpoints {
		t.put(Endpoints, key+string(native(uint32(slot))), string(e.Addr().AsSlice())+portBytes(e.Port()))
	}
}

// PutOrigin marks connections whose frames come from the MAC address.
func (t *Table) PutOrigin(mac net.HardwareAddr, mark uint32) {
	t.put(Origin, string(mac), string(native(mark)))
}

// PutPeer lets an address send VXLAN frames.
func (t *Table) PutPeer(a netip.Addr) { t.put(Peers, string(a.AsSlice()), "") }

// PutHairpin masquerades connections from the client to the task.
func (t *Table) PutHairpin(client, task netip.Addr) {
	t.put(Hairpin, string(client.AsSlice())+string(task.AsSlice()), "")
}

// PutSubnet says that task addresses come from the prefix. Prefixes must not overlap.
func (t *Table) PutSubnet(p netip.Prefix) {
	s := t.Sets[Subnets].Elements
	s[Element{Key: string(p.Masked().Addr().AsSlice())}] = ""
	if end := lastAddr(p).Next(); end.IsValid() {
		s[Element{Key: string(end.AsSlice()), End: true}] = ""
	}
}

func (t *Table) put(set, key, value string) { t.Sets[set].Elements[Element{Key: key}] = value }

// portKey is protocol . port: each part of a concatenation is padded to four bytes.
func portKey(proto byte, port uint16) string {
	return string([]byte{proto, 0, 0, 0}) + portBytes(port)
}

func portBytes(p uint16) string {
	b := make([]byte, 4)
	binary.BigEndian.PutUint16(b, p)
	return string(b)
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
