package port

import (
	"strings"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// The protocols' numbers in an IP header.
const (
	ipTCP = 6
	ipUDP = 17
)

// Protocol returns the protocol of a port; an unspecified one is TCP.
func Protocol(p interface {
	GetProtocol() clusterpb.Port_Protocol
},
) clusterpb.Port_Protocol {
	if p.GetProtocol() == clusterpb.Port_PROTOCOL_UNSPECIFIED {
		return clusterpb.Port_PROTOCOL_TCP
	}
	return p.GetProtocol()
}

// ProtocolName returns "tcp" or "udp"; an unspecified protocol is TCP.
func ProtocolName(p clusterpb.Port_Protocol) string {
	if p == clusterpb.Port_PROTOCOL_UDP {
		return "udp"
	}
	return "tcp"
}

// ParseProtocol is the opposite of ProtocolName and takes either case. It
// reports false for any other name.
func ParseProtocol(name string) (clusterpb.Port_Protocol, bool) {
	switch strings.ToLower(name) {
	case "tcp":
		return clusterpb.Port_PROTOCOL_TCP, true
	case "udp":
		return clusterpb.Port_PROTOCOL_UDP, true
	}
	return clusterpb.Port_PROTOCOL_UNSPECIFIED, false
}

// IPProtocol returns the protocol's number in an IP header, as the kernel
// knows it; an unspecified protocol is TCP.
func IPProtocol(p clusterpb.Port_Protocol) byte {
	if p == clusterpb.Port_PROTOCOL_UDP {
		return ipUDP
	}
	return ipTCP
}
