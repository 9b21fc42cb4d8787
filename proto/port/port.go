// Package port holds the rules about published ports: what one is known by,
// what its protocols and modes are called, and which nodes answer on it.
package port

import (
	"cmp"
	"fmt"
	"strconv"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Max is the highest port number; the lowest is 1.
const Max = 65535

// Published is a port as a spec, a task or the mesh carries it.
type Published interface {
	GetProtocol() clusterpb.Port_Protocol
	GetPublished() uint32
}

// Key is what a published port is known by: TCP and UDP have numbers of their
// own. Keys can be compared and be those of a map.
type Key struct {
	// Protocol is never unspecified in a key that Of made.
	Protocol clusterpb.Port_Protocol
	// Number is 1 to Max, or 0 where the cluster or the node is to choose one.
	Number uint32
}

// Of returns the key of a port. One without a protocol is TCP.
func Of(p Published) Key { return Key{Protocol(p), p.GetPublished()} }

// TCP and UDP return the key of a port of that protocol.
func TCP(number uint32) Key { return Key{clusterpb.Port_PROTOCOL_TCP, number} }

// UDP is as TCP is.
func UDP(number uint32) Key { return Key{clusterpb.Port_PROTOCOL_UDP, number} }

// String is the port as people write it: "8111/tcp".
func (k Key) String() string {
	return strconv.FormatUint(uint64(k.Number), 10) + "/" + ProtocolName(k.Protocol)
}

// Compare orders ports by protocol, then by number.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Protocol, other.Protocol), cmp.Compare(k.Number, other.Number))
}

// Compare orders what is published as Key.Compare does.
func Compare[P Published](a, b P) int { return Of(a).Compare(Of(b)) }

// Range is a range of port numbers, both ends included.
type Range struct{ First, Last uint32 }

// String is the range as people write it: "30000-32767".
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// IngressRange is where a port of every node is chosen from when the user asks
// for any: Docker's range.
func IngressRange() Range { return Range{30000, 32767} }

// HostRange is where a node chooses a port of its own from when the user asks
// for any: the upper part of what Linux calls ephemeral, as Docker does.
func HostRange() Range { return Range{49153, Max} }
