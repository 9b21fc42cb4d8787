package state

import (
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
)

// PublishedBy returns the service that publishes the port on every node.
func (s *State) PublishedBy(key port.Key) (*clusterpb.Service, bool) {
	for svc := range s.services.with(serviceByPort, key.String()) {
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
	own := tx.ownPorts(old, spec)
	choice := newPortChoice(slices.Concat(given, old.GetPorts()), spec.GetPorts(), own)
	for _, p := range spec.GetPorts() {
		if p.GetPublished() > port.Max {
			return nil, refuse(invalid, "port %d cannot be published: ports end at %d", p.GetPublished(), port.Max)
		}
		if p.GetPublished() == 0 && !port.HasHostMode(p) {
			p = shallow(p)
			if p.Published = tx.choosePort(choice, p, old.GetId()); p.Published == 0 {
				return nil, refuse(exhausted, "no port of %s is free for %s", port.IngressRange(), port.ProtocolName(p.GetProtocol()))
			}
		}
		ports = append(ports, p)
	}
	if err := tx.checkPorts(old.GetId(), ports, own); err != nil {
		return nil, err
	}
	return ports, nil
}

// portChoice is what is known while the ports of one service are chosen.
type portChoice struct {
	preferred []*clusterpb.Port
	taken     map[port.Key]bool                  // ports that the service has now
	next      map[clusterpb.Port_Protocol]uint32 // the lowest port not tried yet
}

func newPortChoice(preferred, written []*clusterpb.Port, own map[port.Key]string) *portChoice {
	c := &portChoice{preferred: preferred, taken: make(map[port.Key]bool), next: make(map[clusterpb.Port_Protocol]uint32)}
	for _, key := range publishedKeys(written) {
		c.taken[key] = true
	}
	for key := range own {
		c.taken[key] = true
	}
	return c
}

// choosePort returns a port for p, or 0 when none is free.
func (tx *tx) choosePort(c *portChoice, p *clusterpb.Port, serviceID string) uint32 {
	protocol, free := port.Protocol(p), port.IngressRange()
	for _, have := range c.preferred {
		key := port.Of(have)
		if have.GetPublished() != 0 && have.GetTarget() == p.GetTarget() && !port.HasHostMode(have) &&
			key.Protocol == protocol && !c.taken[key] {
			c.taken[key] = true
			return have.GetPublished()
		}
	}
	for n := max(c.next[protocol], free.First); n <= free.Last; n++ {
		c.next[protocol] = n + 1
		if key := (port.Key{Protocol: protocol, Number: n}); !c.taken[key] && tx.portFree(key, serviceID) {
			c.taken[key] = true
			return n
		}
	}
	return 0
}

func (tx *tx) portFree(key port.Key, serviceID string) bool {
	for other := range tx.services.with(serviceByPort, key.String()) {
		if other.GetId() != serviceID {
			return false
		}
	}
	return true
}

// checkPorts refuses ports of own, and what Docker refuses: a port published by
// two services, or twice by one. Only between ports of mode host of different
// services the scheduler decides, by node.
func (tx *tx) checkPorts(serviceID string, ports []*clusterpb.Port, own map[port.Key]string) error {
	keys := publishedKeys(ports)
	slices.SortFunc(keys, port.Key.Compare)
	for i := 1; i < len(keys); i++ {
		if keys[i] == keys[i-1] {
			return refuse(invalid, "port %s is published twice", keys[i])
		}
	}
	for _, p := range ports {
		key := port.Of(p)
		if who := own[key]; who != "" {
			return refuse(invalid, "port %s cannot be published: %s", key, who)
		}
		for other := range tx.services.with(serviceByPort, key.String()) {
			if other.GetId() != serviceID && (!port.HasHostMode(p) || publishes(other, key)) {
				return refuse(alreadyExists, "port %s is published by service %s", key, other.GetSpec().GetName())
			}
		}
	}
	return nil
}

// publishes reports whether every node answers for the service on the port.
func publishes(s *clusterpb.Service, key port.Key) bool {
	return slices.ContainsFunc(s.GetPorts(), func(p *clusterpb.Port) bool {
		return !port.HasHostMode(p) && port.Of(p) == key
	})
}

// publishedKeys returns the keys of the ports that are published under a known
// number. A port of mode host without one gets it from its node.
func publishedKeys(ports []*clusterpb.Port) []port.Key {
	var keys []port.Key
	for _, p := range ports {
		if p.GetPublished() != 0 {
			keys = append(keys, port.Of(p))
		}
	}
	return keys
}

// portIndex returns the service's ports as its index knows them.
func portIndex(s *clusterpb.Service) (texts []string) {
	for _, key := range publishedKeys(s.GetPorts()) {
		texts = append(texts, key.String())
	}
	return texts
}
