package raftstore

import (
	"slices"
	"strconv"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Published ports that users did not choose come from this range, as Docker's.
const (
	firstAutoPort = 30000
	lastAutoPort  = 32767
	maxPort       = 65535
)

// PublishedBy returns the service that publishes the port on every node.
// An unspecified protocol is TCP.
func (s *State) PublishedBy(protocol clusterpb.Port_Protocol, port uint32) (*clusterpb.Service, bool) {
	key := portKey(protocol, port)
	for svc := range s.services.with(serviceByPort, key) {
		if publishes(svc, key) {
			return svc, true
		}
	}
	return nil, false
}

// publishPorts returns the ports of spec with every published port of mode
// ingress filled in: as written, else as given or had for the same target,
// else the lowest free one. It refuses ports that others have.
func (tx *tx) publishPorts(old *clusterpb.Service, spec *clusterpb.ServiceSpec, given []*clusterpb.Port) ([]*clusterpb.Port, error) {
	ports := make([]*clusterpb.Port, 0, len(spec.GetPorts()))
	taken := publishedKeys(spec.GetPorts())
	for _, p := range spec.GetPorts() {
		if p.GetPublished() > maxPort {
			return nil, refuse(invalid, "port %d cannot be published: ports end at %d", p.GetPublished(), maxPort)
		}
		if p.GetPublished() == 0 && !isHost(p) {
			p = shallow(p)
			var err error
			if p.Published, err = tx.choosePort(old, p, given, taken); err != nil {
				return nil, err
			}
			taken = append(taken, portKey(p.GetProtocol(), p.GetPublished()))
		}
		ports = append(ports, p)
	}
	if err := tx.checkPorts(old.GetId(), ports); err != nil {
		return nil, err
	}
	return ports, nil
}

// choosePort prefers what the writer gave, then what the service has.
func (tx *tx) choosePort(old *clusterpb.Service, p *clusterpb.Port, given []*clusterpb.Port, taken []string) (uint32, error) {
	for _, have := range slices.Concat(given, old.GetPorts()) {
		if have.GetPublished() != 0 && have.GetTarget() == p.GetTarget() && isHost(have) == isHost(p) &&
			protocolName(have.GetProtocol()) == protocolName(p.GetProtocol()) &&
			!slices.Contains(taken, portKey(have.GetProtocol(), have.GetPublished())) {
			return have.GetPublished(), nil
		}
	}
	for n := uint32(firstAutoPort); n <= lastAutoPort; n++ {
		if key := portKey(p.GetProtocol(), n); !slices.Contains(taken, key) && tx.portFree(key, old.GetId()) {
			return n, nil
		}
	}
	return 0, refuse(exhausted, "no port of %d-%d is free for %s", firstAutoPort, lastAutoPort, protocolName(p.GetProtocol()))
}

func (tx *tx) portFree(key, serviceID string) bool {
	for other := range tx.services.with(serviceByPort, key) {
		if other.GetId() != serviceID {
			return false
		}
	}
	return true
}

// checkPorts refuses what Docker refuses: a port published by two services, or
// twice by one. Only between ports of mode host of different services the
// scheduler decides, by node.
func (tx *tx) checkPorts(serviceID string, ports []*clusterpb.Port) error {
	keys := publishedKeys(ports)
	slices.Sort(keys)
	for i := 1; i < len(keys); i++ {
		if keys[i] == keys[i-1] {
			return refuse(invalid, "port %s is published twice", keys[i])
		}
	}
	for _, p := range ports {
		key := portKey(p.GetProtocol(), p.GetPublished())
		for other := range tx.services.with(serviceByPort, key) {
			if other.GetId() != serviceID && (!isHost(p) || publishes(other, key)) {
				return refuse(alreadyExists, "port %s is published by service %s", key, other.GetSpec().GetName())
			}
		}
	}
	return nil
}

// publishes reports whether every node answers for the service on the port.
func publishes(s *clusterpb.Service, key string) bool {
	return slices.ContainsFunc(s.GetPorts(), func(p *clusterpb.Port) bool {
		return !isHost(p) && portKey(p.GetProtocol(), p.GetPublished()) == key
	})
}

// publishedKeys returns the keys of the ports that are published under a known
// number. A port of mode host without one gets it from its node.
func publishedKeys(ports []*clusterpb.Port) []string {
	var keys []string
	for _, p := range ports {
		if p.GetPublished() != 0 {
			keys = append(keys, portKey(p.GetProtocol(), p.GetPublished()))
		}
	}
	return keys
}

func isHost(p *clusterpb.Port) bool { return p.GetMode() == clusterpb.Port_MODE_HOST }

// portKey writes a port as people do: "8111/tcp".
func portKey(protocol clusterpb.Port_Protocol, port uint32) string {
	return strconv.FormatUint(uint64(port), 10) + "/" + protocolName(protocol)
}

func protocolName(p clusterpb.Port_Protocol) string {
	if p == clusterpb.Port_PROTOCOL_UDP {
		return "udp"
	}
	return "tcp"
}
