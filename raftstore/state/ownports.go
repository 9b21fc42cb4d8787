package state

import (
	"strconv"
	"strings"

	"github.com/muster/muster/proto/port"
)

// ownPorts returns the ports on which nodes listen for the cluster itself, each
// with who does. A service that took one would cut the cluster off from its
// nodes, and itself from whoever wants to remove it.
func (o *objects) ownPorts() map[port.Key]string {
	own := make(map[port.Key]string)
	add := func(addr, who string, keys ...func(number uint32) port.Key) {
		number, err := strconv.ParseUint(addr[strings.LastIndex(addr, ":")+1:], 10, 16)
		if err != nil {
			return // a node that has not said, or said what is no port
		}
		for _, key := range keys {
			own[key(uint32(number))] = who
		}
	}
	for n := range o.nodes.all() {
		name := "node " + n.GetDescription().GetHostname() + " listens on it for the cluster"
		add(n.GetDescription().GetControlAddr(), name, port.TCP)
		add(n.GetRaftAddr(), name, port.TCP)
		add(n.GetDescription().GetGossipAddr(), name, port.TCP, port.UDP)
	}
	if number := o.cluster.one().GetDataPathPort(); number != 0 {
		own[port.UDP(number)] = "the traffic between nodes uses it"
	}
	return own
}
