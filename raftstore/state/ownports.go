package state

import (
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
)

// ownPorts returns the ports on which nodes listen for the cluster itself, each
// with who does. A service that took one would cut the cluster off from its
// nodes, and itself from whoever wants to remove it.
//
// Those that old has are not among them, unless next has them in another mode: a
// node that came to listen there afterwards is left out of the mesh on that
// port, and nobody else suffers from it.
func (o *objects) ownPorts(old *clusterpb.Service, next *clusterpb.ServiceSpec) map[port.Key]string {
	own := make(map[port.Key]string)
	for n := range o.nodes.all() {
		for _, key := range port.OfNode(n) {
			own[key] = "node " + n.GetDescription().GetHostname() + " listens on it for the cluster"
		}
	}
	if number := o.cluster.one().GetDataPathPort(); number != 0 {
		own[port.UDP(number)] = "the traffic between nodes uses it"
	}
	for _, p := range old.GetPorts() {
		changesMode := slices.ContainsFunc(next.GetPorts(), func(q *clusterpb.Port) bool {
			return port.Of(q) == port.Of(p) && port.HasHostMode(q) != port.HasHostMode(p)
		})
		if !changesMode {
			delete(own, port.Of(p))
		}
	}
	return own
}

// Contested returns the ports of node n, on which it says that it listens for
// the cluster, that a service publishes: those of mode ingress that way reach
// no task by way of that node.
func (s *State) Contested(n *clusterpb.Node) (ports []port.Key) {
	for _, key := range port.OfNode(n) {
		if _, ok := s.PublishedBy(key); ok {
			ports = append(ports, key)
		}
	}
	return ports
}
