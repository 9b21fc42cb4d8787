package docker

import (
	"cmp"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/constraint"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// Node is a node, with the images it holds.
type Node struct {
	ID string
	swarm.Meta
	Spec          swarm.NodeSpec
	Description   NodeDescription
	Status        NodeStatus
	ManagerStatus *swarm.ManagerStatus `json:",omitempty"`
	Images        []NodeImage          `json:",omitempty"`
}

// NodeDescription is what a node tells of itself. The addresses are those that
// other nodes use.
type NodeDescription struct {
	swarm.NodeDescription
	Engine                            EngineDescription
	Kernel                            string `json:",omitempty"`
	ControlAddr, DataAddr, GossipAddr string `json:",omitempty"`
}

// EngineDescription is what runs the node's containers.
type EngineDescription struct {
	swarm.EngineDescription
	ContainerdVersion string `json:",omitempty"`
}

// NodeStatus is what is observed about a node; Gossip is what its membership
// gossip knows.
type NodeStatus struct {
	swarm.NodeStatus
	Since  *time.Time `json:",omitempty"`
	Gossip string     `json:",omitempty"`
}

// NodeImage is an image that a node holds; Size is in bytes.
type NodeImage struct {
	Name, Digest string
	Size         int64
}

// NodeOf returns v in Docker's shape.
func NodeOf(v *controlpb.NodeView) Node {
	n := v.GetNode()
	out := Node{
		ID:   n.GetId(),
		Meta: meta(n),
		Spec: swarm.NodeSpec{
			Annotations:  swarm.Annotations{Labels: labels(n.GetSpec().GetLabels())},
			Role:         Role(n.GetRole()),
			Availability: cmp.Or(word[swarm.NodeAvailability](n.GetSpec().GetAvailability(), "AVAILABILITY_"), swarm.NodeAvailabilityActive),
		},
		Description: nodeDescription(n.GetDescription()),
		Status:      nodeStatus(v),
	}
	if out.Spec.Role == swarm.NodeRoleManager {
		out.ManagerStatus = &swarm.ManagerStatus{
			Leader:       v.GetLeader(),
			Reachability: cmp.Or(word[swarm.Reachability](v.GetManager(), "REACHABILITY_"), swarm.ReachabilityUnknown),
			Addr:         n.GetDescription().GetControlAddr(),
		}
	}
	for _, i := range n.GetImages() {
		out.Images = append(out.Images, NodeImage{i.GetName(), i.GetDigest(), i.GetSizeBytes()})
	}
	return out
}

// Role is the name of a role; a node that has none yet is a worker.
func Role(r clusterpb.NodeRole) swarm.NodeRole {
	if r == clusterpb.NodeRole_NODE_ROLE_MANAGER {
		return swarm.NodeRoleManager
	}
	return swarm.NodeRoleWorker
}

func nodeDescription(d *clusterpb.NodeDescription) NodeDescription {
	return NodeDescription{
		NodeDescription: swarm.NodeDescription{
			Hostname:  d.GetHostname(),
			Platform:  swarm.Platform{Architecture: constraint.Uname(d.GetPlatform().GetArchitecture()), OS: d.GetPlatform().GetOs()},
			Resources: resources(d.GetResources()),
		},
		Engine: EngineDescription{
			EngineDescription: swarm.EngineDescription{EngineVersion: d.GetVersion(), Labels: d.GetLabels()},
			ContainerdVersion: d.GetContainerdVersion(),
		},
		Kernel:      d.GetKernel(),
		ControlAddr: d.GetControlAddr(),
		DataAddr:    d.GetDataAddr(),
		GossipAddr:  d.GetGossipAddr(),
	}
}

func nodeStatus(v *controlpb.NodeView) NodeStatus {
	s := v.GetNode().GetStatus()
	return NodeStatus{
		NodeStatus: swarm.NodeStatus{
			State:   cmp.Or(word[swarm.NodeState](s.GetState(), "STATE_"), swarm.NodeStateUnknown),
			Message: s.GetMessage(),
			Addr:    call.Host(s.GetAddr()), // programs add the port of what they look for
		},
		Since:  at(s.GetSince()),
		Gossip: v.GetGossip(),
	}
}
