// Package ports gives published ports to services.
package ports

import (
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// First and Last bound the ports that are given to services that ask for any:
// Docker's range.
const (
	First = 30000
	Last  = 32767
)

// Published looks up which service every node answers for on a port.
type Published interface {
	PublishedBy(protocol clusterpb.Port_Protocol, port uint32) (*clusterpb.Service, bool)
}

// Allocate returns the ports of the service's spec with those filled in that
// the user left open: the one the service has for the same target already,
// else the lowest free one of First..Last. Ports bound on the nodes (mode
// host) that were left open stay so, since each node chooses its own.
//
// It is errdefs.ErrAlreadyExists when a port belongs to another service,
// ErrInvalidArgument when the service names one twice, and ErrResourceExhausted
// when none is free. Whether two services may have a host port is for the scheduler.
func Allocate(state Published, svc *clusterpb.Service) ([]*clusterpb.Port, error) {
	taken := make(map[key]bool)
	for _, p := range svc.GetSpec().GetPorts() {
		if p.GetPublished() == 0 {
			continue
		}
		if taken[keyOf(p)] {
			return nil, fmt.Errorf("port %s is published twice: %w", keyOf(p), errdefs.ErrInvalidArgument)
		}
		taken[keyOf(p)] = true
		if other, ok := owner(state, svc, keyOf(p)); ok {
			return nil, fmt.Errorf("port %s is published by service %s: %w", keyOf(p), other, errdefs.ErrAlreadyExists)
		}
	}
	ports := make([]*clusterpb.Port, 0, len(svc.GetSpec().GetPorts()))
	for _, p := range svc.GetSpec().GetPorts() {
		if p.GetPublished() == 0 && p.GetMode() != clusterpb.Port_MODE_HOST {
			n, ok := choose(state, svc, p, taken)
			if !ok {
				return nil, fmt.Errorf("no port of %d-%d is free for %s: %w", First, Last, protocol(p.GetProtocol()), errdefs.ErrResourceExhausted)
			}
			p = proto.CloneOf(p)
			p.Published = n
			taken[keyOf(p)] = true
		}
		ports = append(ports, p)
	}
	return ports, nil
}

func choose(state Published, svc *clusterpb.Service, p *clusterpb.Port, taken map[key]bool) (uint32, bool) {
	for _, had := range svc.GetPorts() {
		same := had.GetTarget() == p.GetTarget() && protocol(had.GetProtocol()) == protocol(p.GetProtocol()) && had.GetMode() != clusterpb.Port_MODE_HOST
		if same && had.GetPublished() != 0 && !taken[keyOf(had)] {
			if _, lost := owner(state, svc, keyOf(had)); !lost {
				return had.GetPublished(), true
			}
		}
	}
	for n := uint32(First); n <= Last; n++ {
		k := key{protocol(p.GetProtocol()), n}
		if _, used := owner(state, svc, k); !used && !taken[k] {
			return n, true
		}
	}
	return 0, false
}

// owner names the other service that has a port on every node.
func owner(state Published, svc *clusterpb.Service, k key) (string, bool) {
	pb := clusterpb.Port_PROTOCOL_TCP
	if k.protocol == "udp" {
		pb = clusterpb.Port_PROTOCOL_UDP
	}
	other, ok := state.PublishedBy(pb, k.port)
	if !ok || other.GetId() == svc.GetId() {
		return "", false
	}
	return other.GetSpec().GetName(), true
}

// key is a port as people write it: "8111/tcp".
type key struct {
	protocol string
	port     uint32
}

func (k key) String() string { return fmt.Sprintf("%d/%s", k.port, k.protocol) }

func keyOf(p *clusterpb.Port) key { return key{protocol(p.GetProtocol()), p.GetPublished()} }

// protocol names a protocol; an unspecified one is TCP.
func protocol(p clusterpb.Port_Protocol) string {
	if p == clusterpb.Port_PROTOCOL_UDP {
		return "udp"
	}
	return "tcp"
}
