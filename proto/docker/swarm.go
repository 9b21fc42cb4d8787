package docker

import (
	"github.com/moby/moby/api/types/swarm"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// Swarm is what a node's daemon knows of the cluster it is in, as "docker info"
// tells it.
type Swarm struct {
	swarm.Info
	Cluster *Cluster `json:",omitempty"` // nil where this is no manager
}

// Cluster is of Docker's fields the one that a daemon knows without asking.
type Cluster struct{ ID string }

// SwarmOf returns s in Docker's shape. Managers are known by their addresses alone.
func SwarmOf(s *nodepb.GetStatusResponse) Swarm {
	out := Swarm{Info: swarm.Info{
		NodeID:           s.GetNodeId(),
		NodeAddr:         s.GetNodeAddr(),
		LocalNodeState:   word[swarm.LocalNodeState](s.GetState(), "STATE_"),
		ControlAvailable: s.GetRole() == clusterpb.NodeRole_NODE_ROLE_MANAGER,
		Error:            s.GetErr(),
	}}
	for _, addr := range s.GetManagers() {
		out.RemoteManagers = append(out.RemoteManagers, swarm.Peer{Addr: addr})
	}
	if out.ControlAvailable {
		out.Cluster = &Cluster{s.GetClusterId()}
	}
	return out
}
