package state

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
	choice := newPortChoice(slices.Concat(given, old.GetPorts()), spec.GetPorts())
	for _, p := range spec.GetPorts() {
		if p.GetPublished() > maxPort {
			return nil, refuse(invalid, "port %d cannot be published: ports end at %d", p.GetPublished(), maxPort)
		}
		if p.GetPublished() == 0 && !isHost(p) {
			p = shallow(p)
			if p.Published = tx.choosePort(choice, p, old.GetId()); p.Published == 0 {
				return nil, refuse(exhausted, "no port of %d-%d is free for %s", firstAutoPort, lastAutoPort, protocolName(p.GetProtocol()))
			}
		}
		ports = append(ports, p)
	}
	if err := tx.checkPorts(old.GetId(), ports); err != nil {
		return nil, err
	}
	return ports, nil
}

// portChoice is what is known while the ports of one service are chosen.
type portChoice struct {
	preferred []*clusterpb.Port
	taken     map[string]bool   // keys of ports that the service has now
	next      map[string]uint32 // by protocol: the lowest port not tried yet
}

func newPortChoice(preferred, written []*clusterpb.Port) *portChoice {
	c := &portChoice{preferred: preferred, taken: make(map[string]bool), next: make(map[string]uint32)}
	for _, key := range publishedKeys(written) {
		c.taken[key] = true
	}
	return c
}

// choosePort returns a port for p, or 0 when none is free.
func (tx *tx) choosePort(c *portChoice, p *clusterpb.Port, serviceID string) uint32 {
	protocol := protocolName(p.GetProtocol())
	for _, have := range c.preferred {
		key := portKey(have.GetProtocol(), have.GetPublished())
		if have.GetPublished() != 0 && have.GetTarget() == p.GetTarget() && !isHost(have) &&
			protocolName(have.GetProtocol()) == protocol && !c.taken[key] {
			c.taken[key] = true
			return have.GetPublished()
		}
	}
	for n := max(c.next[protocol], firstAutoPort); n <= lastAutoPort; n++ {
		c.next[protocol] = n + 1
		if key := portKey(p.GetProtocol(), n); !c.taken[key] && tx.portFree(key, serviceID) {
			c.taken[key] = true
			return n
		}
	}
	return 0
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
