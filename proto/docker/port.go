package docker

import (
	"cmp"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/spec"
)

// PortsOf returns published ports in Docker's shape.
func PortsOf(list []*clusterpb.Port) (out []swarm.PortConfig) {
	for _, p := range list {
		out = append(out, swarm.PortConfig{
			Protocol:      network.IPProtocol(spec.ProtocolName(p.GetProtocol())),
			TargetPort:    p.GetTarget(),
			PublishedPort: p.GetPublished(),
			PublishMode:   cmp.Or(word[swarm.PortConfigPublishMode](p.GetMode(), "MODE_"), swarm.PortConfigPublishModeIngress),
		})
	}
	return out
}
