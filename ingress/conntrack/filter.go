package conntrack

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Filter says which flows matter. The zero value is for all of them.
type Filter struct {
	// Protocol is that of IP; any if zero.
	Protocol uint8
	// Servers are the addresses that replies come from; any if nil.
	Servers []netip.Addr
	// Port is the port that the client called, of a Protocol that has ports; any if zero.
	Port uint16
}

// maxWalks is how many addresses the kernel is asked for one by one. For each
// it goes through all of its flows, which costs a fifth of listing them.
const maxWalks = 4

// question is what the kernel is asked: the flows of a family and, of IPv4,
// those whose replies come from an address.
type question struct {
	family uint8
	server netip.Addr // not valid: any
}

// questions are what to ask for all that matches. The kernel takes a filter for
// one family at a time. By an address of IPv6 it lists the flows of all others
// (ipv6_addr_cmp in the kernel's ctnetlink_filter_match_tuple; Linux 6.18 still
// does), so it is asked for all of IPv6 instead.
func (f Filter) questions() []question {
	all4, all6 := question{family: unix.AF_INET}, question{family: unix.AF_INET6}
	if f.Servers == nil {
		if f.Protocol == 0 && f.Port == 0 {
			return []question{{family: unix.AF_UNSPEC}}
		}
		return []question{all4, all6}
	}
	var by4, by6 []question
	for _, a := range f.Servers {
		if q := (question{unix.AF_INET, a.Unmap()}); !q.server.Is4() {
			by6 = []question{all6}
		} else if !slices.Contains(by4, q) {
			by4 = append(by4, q)
		}
		if len(by4) > maxWalks {
			by4 = []question{all4}
			break
		}
	}
	return append(by4, by6...)
}

// matcher returns whether a flow matches.
func (f Filter) matcher() func(*Flow) bool {
	servers := make(map[netip.Addr]bool, len(f.Servers))
	for _, a := range f.Servers {
		servers[a.Unmap()] = true
	}
	return func(flow *Flow) bool {
		return (f.Protocol == 0 || f.Protocol == flow.Protocol) &&
			(f.Port == 0 || f.Port == flow.Called.Port()) &&
			(f.Servers == nil || servers[flow.Server.Addr()])
	}
}

// Which parts of a tuple a filter compares (the kernel's net/netfilter/nf_internals.h).
const (
	compareSource          = 1 << 0
	compareProtocol        = 1 << 3
	compareDestinationPort = 1 << 5
)

// attributes are those of a request for what answers the question.
func (f Filter) attributes(q question) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	var original, reply uint32
	if f.Protocol != 0 {
		original |= compareProtocol
	}
	if f.Port != 0 {
		original |= compareDestinationPort
	}
	if q.server.IsValid() {
		reply |= compareSource
	}
	if original != 0 {
		nested(e, attrTupleOriginal, func(e *netlink.AttributeEncoder) {
			nested(e, tupleProto, func(e *netlink.AttributeEncoder) {
				e.Uint8(protoNumber, f.Protocol)
				e.Uint16(protoDestinationPort, f.Port)
			})
		})
	}
	if reply != 0 {
		nested(e, attrTupleReply, func(e *netlink.AttributeEncoder) {
			nested(e, tupleIP, func(e *netlink.AttributeEncoder) {
				e.Bytes(ipSource4, q.server.AsSlice())
			})
		})
	}
	if original|reply != 0 {
		nested(e, attrFilter, func(e *netlink.AttributeEncoder) {
			e.Bytes(filterOriginal, binary.NativeEndian.AppendUint32(nil, original))
			e.Bytes(filterReply, binary.NativeEndian.AppendUint32(nil, reply))
		})
	}
	return e.Encode()
}

// nested encodes attributes within one.
func nested(e *netlink.AttributeEncoder, kind uint16, fill func(*netlink.AttributeEncoder)) {
	e.Nested(kind, func(e *netlink.AttributeEncoder) error {
		fill(e)
		return nil
	})
}
