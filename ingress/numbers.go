package ingress

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"strings"
)

// The names and numbers that the data plane takes in the kernel. Nothing else
// on the node may use them; DESIGN.md lists them for administrators.
const (
	// Overlay is the name of the VXLAN device.
	Overlay = "mu0"
	// TaskLinkPrefix begins the name of the host's end of every task's veth.
	TaskLinkPrefix = "mt"
	// MaxNodeIndex is the largest index a node can have.
	MaxNodeIndex = 32254

	// DefaultVNI and DefaultPort are the VXLAN network identifier and UDP port.
	DefaultVNI  = 4097
	DefaultPort = 4789

	routeProtocol = 109             // marks our routes and rules, see /etc/iproute2/rt_protos
	markTag       = 0x8000_3000     // marks a packet or connection as ours, see nodeMark
	markTagMask   = 0x80ff_ff00     // the bits of the tag: all but a node's index
	markAll       = 0xffff_ffff     //
	tableBase     = 47_890_000      // + node index: the table that routes by that node
	rulePriority  = 4789            // of the rules that choose these tables
	unreachable   = uint32(1) << 30 // metric of the routes that refuse addresses without a task
)

// mac is a link address that can be compared.
type mac [6]byte

// nodeMAC is the address of a node's VXLAN device. Its last two bytes are also
// the conntrack zone of what comes in by that node.
func nodeMAC(index uint32) mac {
	return mac{0x02, 'm', 'u', 0, byte(index >> 8), byte(index)}
}

// hostMAC is the address of the host's end of every veth.
func hostMAC() mac { return mac{0x02, 'm', 'u', 1, 0, 1} }

// taskMAC derives a task's link address from its first IP address.
func taskMAC(a netip.Addr) mac {
	h := fnv.New32a()
	h.Write(a.AsSlice())
	m := mac{0x02, 'm'}
	binary.BigEndian.PutUint32(m[2:], h.Sum32())
	return m
}

// tunnel4 is the IPv4 address of a node in the tunnel: 169.254.128.0/17
// without 169.254.169.0/24 and 169.254.170.0/24, where clouds serve metadata.
func tunnel4(index uint32) netip.Addr {
	const metadata = 0x2900 // offset of 169.254.169.0
	if index >= metadata {
		index += 512
	}
	return netip.AddrFrom4([4]byte{169, 254, 128 + byte(index>>8), byte(index)})
}

// tunnel6 is the IPv6 address of a node in the tunnel, in fd6d:7573:7465:7200::/64.
func tunnel6(index uint32) netip.Addr {
	a := [16]byte{0xfd, 'm', 'u', 's', 't', 'e', 'r'}
	binary.BigEndian.PutUint32(a[12:], index)
	return netip.AddrFrom16(a)
}

// gateway4 and gateway6 are the addresses of the host's end of every veth.
func gateway4() netip.Addr { return netip.AddrFrom4([4]byte{169, 254, 1, 1}) }
func gateway6() netip.Addr { return netip.MustParseAddr("fe80::1") }

// nodeMark is the mark of what came in by a node. It is always compared as a
// whole, so that what others mark is never taken for it. The index leaves out,
// and the tag has as zeros, the bits that others look at in all packets:
// 0x00ff0000 (Tailscale), 0x0000c000 (kube-proxy) and 0x00000f00 (Cilium).
func nodeMark(index uint32) uint32 { return markTag | index&0xff | index>>8<<24 }

func nodeTable(index uint32) uint32 { return tableBase + index }

// taskLink is the name of the host's end of a task's veth. Interface names
// have at most 15 bytes: a digest keeps ids that share a beginning apart.
func taskLink(id string) string {
	sum := sha256.Sum256([]byte(id))
	return TaskLinkPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:12])
}

// overhead is what VXLAN adds to a packet: Ethernet 14, VXLAN 8, UDP 8, and
// the outer IP header of 20 or 40 bytes.
func overhead(underlay netip.Addr) int {
	if underlay.Unmap().Is4() {
		return 50
	}
	return 70
}
