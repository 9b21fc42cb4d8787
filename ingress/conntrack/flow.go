package conntrack

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Flow is one connection, or what is taken for one, as the kernel tracks it.
type Flow struct {
	// Protocol is that of IP, as unix.IPPROTO_TCP.
	Protocol uint8
	// Called is where the client sent its first packet. Ports are 0 where the protocol has none.
	Called netip.AddrPort
	// Server is where the replies come from: another address than Called where that was translated.
	Server netip.AddrPort
	// TCPState is the kernel's state of a TCP flow (linux/netfilter/nf_conntrack_tcp.h), 0 of others.
	TCPState uint8

	key key
}

// key names a flow to the kernel. Its parts are attributes as the kernel gave
// them, and lie in the buffer that the flow was read from. The id tells a flow
// from a later one of the same addresses and ports.
type key struct {
	family             uint8
	original, zone, id []byte
}

// Keep returns the flow so that it can be deleted later: what Each hands out is
// good until its function returns.
func (f Flow) Keep() Flow {
	f.key.original, f.key.zone, f.key.id = bytes.Clone(f.key.original), bytes.Clone(f.key.zone), bytes.Clone(f.key.id)
	return f
}

// Attributes and messages of the kernel's linux/netfilter/nfnetlink_conntrack.h.
const (
	messageNew    = 0
	messageGet    = 1
	messageDelete = 2

	attrTupleOriginal = 1
	attrTupleReply    = 2
	attrProtoInfo     = 4
	attrID            = 12
	attrZone          = 18
	attrFilter        = 25

	tupleIP    = 1
	tupleProto = 2

	ipSource4, ipDestination4 = 1, 2
	ipSource6, ipDestination6 = 3, 4

	protoNumber          = 1
	protoSourcePort      = 2
	protoDestinationPort = 3

	protoInfoTCP = 1
	tcpState     = 1

	filterOriginal = 1
	filterReply    = 2
)

// The lengths of the headers of a message and of an attribute, and of the
// kernel's struct nfgenmsg that stands between them.
const (
	messageHeader   = unix.SizeofNlMsghdr
	genericHeader   = 4
	attributeHeader = unix.SizeofNlAttr
)

// attribute is one attribute of netlink: whole has its header, padding aside.
type attribute struct {
	kind  uint16
	data  []byte
	whole []byte
}

// next splits the first attribute off. Without a sound one ok is false.
func next(b []byte) (a attribute, rest []byte, ok bool) {
	if len(b) < attributeHeader {
		return attribute{}, nil, false
	}
	n := int(binary.NativeEndian.Uint16(b))
	if n < attributeHeader || n > len(b) {
		return attribute{}, nil, false
	}
	kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	return attribute{kind, b[attributeHeader:n], b[:n]}, b[min(align(n), len(b)):], true
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// parse makes f the flow of a message without its header, and reports whether there is one.
func (f *Flow) parse(b []byte) bool {
	*f = Flow{}
	if len(b) < genericHeader {
		return false
	}
	f.key.family = b[0]
	var original, reply bool
	for a, rest, more := next(b[genericHeader:]); more; a, rest, more = next(rest) {
		switch a.kind {
		case attrTupleOriginal:
			t := parseTuple(a.data)
			f.Protocol, f.Called, f.key.original = t.protocol, t.destination, a.whole
			original = t.destination.IsValid()
		case attrTupleReply:
			f.Server = parseTuple(a.data).source
			reply = f.Server.IsValid()
		case attrProtoInfo:
			f.TCPState = parseTCPState(a.data)
		case attrZone:
			f.key.zone = a.whole
		case attrID:
			f.key.id = a.whole
		}
	}
	return original && reply
}

// tuple is one direction of a flow.
type tuple struct {
	protocol            uint8
	source, destination netip.AddrPort
}

func parseTuple(b []byte) (t tuple) {
	var source, destination netip.Addr
	var sourcePort, destinationPort uint16
	for a, rest, more := next(b); more; a, rest, more = next(rest) {
		switch a.kind {
		case tupleIP:
			source, destination = parseAddrs(a.data)
		case tupleProto:
			t.protocol, sourcePort, destinationPort = parsePorts(a.data)
		}
	}
	t.source, t.destination = netip.AddrPortFrom(source, sourcePort), netip.AddrPortFrom(destination, destinationPort)
	return t
}

func parseAddrs(b []byte) (source, destination netip.Addr) {
	for a, rest, more := next(b); more; a, rest, more = next(rest) {
		switch a.kind {
		case ipSource4, ipSource6:
			source, _ = netip.AddrFromSlice(a.data)
		case ipDestination4, ipDestination6:
			destination, _ = netip.AddrFromSlice(a.data)
		}
	}
	return source, destination
}

func parsePorts(b []byte) (protocol uint8, source, destination uint16) {
	for a, rest, more := next(b); more; a, rest, more = next(rest) {
		switch {
		case a.kind == protoNumber && len(a.data) == 1:
			protocol = a.data[0]
		case a.kind == protoSourcePort && len(a.data) == 2:
			source = binary.BigEndian.Uint16(a.data)
		case a.kind == protoDestinationPort && len(a.data) == 2:
			destination = binary.BigEndian.Uint16(a.data)
		}
	}
	return protocol, source, destination
}

func parseTCPState(b []byte) uint8 {
	for a, rest, more := next(b); more; a, rest, more = next(rest) {
		if a.kind != protoInfoTCP {
			continue
		}
		for s, rest, more := next(a.data); more; s, rest, more = next(rest) {
			if s.kind == tcpState && len(s.data) == 1 {
				return s.data[0]
			}
		}
	}
	return 0
}
