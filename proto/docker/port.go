package docker

import (
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
)

// PortsOf returns published ports in Docker's shape.
func PortsOf(list []*clusterpb.Port) (out []swarm.PortConfig) {
	for _, p := range list {
		out = append(out, swarm.PortConfig{
			Protocol:      network.IPProtocol(port.ProtocolName(p.GetProtocol())),
			TargetPort:    p.GetTarget(),
			PublishedPort: p.GetPublished(),
			PublishMode:   swarm.PortConfigPublishMode(port.ModeName(p.GetMode())),
		})
	}
	return out
}
