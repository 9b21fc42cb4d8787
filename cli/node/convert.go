package node

import (
	"time"

	controlpb "github.com/muster/muster/proto/control/v1"
)

// node is a node as "node inspect" shows it. Field names are those of
// Docker's API where it has them.
type node struct {
	ID            string
	Version       struct{ Index uint64 }
	CreatedAt     time.Time
	UpdatedAt     time.Time
	Spec          nodeSpec
	Description   description
	Status        nodeStatus
	ManagerStatus *manager `json:",omitempty"`
	Images        []image  `json:",omitempty"`
}

type nodeSpec struct {
	Labels       map[string]string
	Role         string
	Availability string
}

type description struct {
	Hostname  string
	Platform  struct{ Architecture, OS string }
	Resources struct{ NanoCPUs, MemoryBytes int64 }
	Engine    engine
	Kernel    string `json:",omitempty"`
	// The addresses that other nodes use.
	ControlAddr, DataAddr, GossipAddr string `json:",omitempty"`
}

type engine struct {
	EngineVersion     string
	ContainerdVersion string            `json:",omitempty"`
	Labels            map[string]string `json:",omitempty"`
}

type nodeStatus struct {
	State   string
	Addr    string
	Message string     `json:",omitempty"`
	Since   *time.Time `json:",omitempty"`
	// Gossip is what the membership gossip knows of the node.
	Gossip string `json:",omitempty"`
}

type manager struct {
	Leader       bool `json:",omitempty"`
	Reachability string
	Addr         string
}

type image struct {
	Name, Digest string
	Size         int64
}

// convert returns v in Docker's shape.
func convert(v *controlpb.NodeView) node {
	n := v.GetNode()
	d := n.GetDescription()
	out := node{
		ID:        n.GetId(),
		CreatedAt: n.GetCreatedAt().AsTime(),
		UpdatedAt: n.GetUpdatedAt().AsTime(),
		Spec:      nodeSpec{Labels: n.GetSpec().GetLabels(), Role: role(n), Availability: availability(n)},
		Description: description{
			Hostname:    d.GetHostname(),
			Engine:      engine{d.GetVersion(), d.GetContainerdVersion(), d.GetLabels()},
			Kernel:      d.GetKernel(),
			ControlAddr: d.GetControlAddr(),
			DataAddr:    d.GetDataAddr(),
			GossipAddr:  d.GetGossipAddr(),
		},
		Status: nodeStatus{State: state(n), Addr: n.GetStatus().GetAddr(), Message: n.GetStatus().GetMessage(), Gossip: v.GetGossip()},
	}
	out.Version.Index = n.GetVersion()
	if out.Spec.Labels == nil {
		out.Spec.Labels = map[string]string{}
	}
	out.Description.Platform.OS = d.GetPlatform().GetOs()
	out.Description.Platform.Architecture = d.GetPlatform().GetArchitecture()
	out.Description.Resources.NanoCPUs = d.GetResources().GetNanoCpus()
	out.Description.Resources.MemoryBytes = d.GetResources().GetMemoryBytes()
	if since := n.GetStatus().GetSince(); since != nil {
		t := since.AsTime()
		out.Status.Since = &t
	}
	if role(n) == "manager" {
		reachability := word(v.GetManager().String(), "REACHABILITY_", "unknown")
		out.ManagerStatus = &manager{v.GetLeader(), reachability, d.GetControlAddr()}
	}
	for _, i := range n.GetImages() {
		out.Images = append(out.Images, image{i.GetName(), i.GetDigest(), i.GetSizeBytes()})
	}
	return out
}
