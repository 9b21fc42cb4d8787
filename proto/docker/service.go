package docker

import (
	"github.com/moby/moby/api/types/swarm"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Service is a service. Version.Index is what an update must name. ServiceStatus
// and JobStatus are Docker's, and always empty: the first is for lists alone.
type Service struct {
	ID string
	swarm.Meta
	Spec          ServiceSpec
	PreviousSpec  *ServiceSpec `json:",omitempty"`
	Endpoint      swarm.Endpoint
	UpdateStatus  *swarm.UpdateStatus  `json:",omitempty"`
	ServiceStatus *swarm.ServiceStatus `json:",omitempty"`
	JobStatus     *swarm.JobStatus     `json:",omitempty"`
}

// ServiceSpec is what the user asked for.
type ServiceSpec struct {
	swarm.Annotations
	TaskTemplate   TaskSpec
	Mode           swarm.ServiceMode
	UpdateConfig   *UpdateConfig
	RollbackConfig *UpdateConfig
	EndpointSpec   swarm.EndpointSpec
}

// ServiceOf returns s in Docker's shape.
func ServiceOf(s *clusterpb.Service) Service {
	out := Service{
		ID:           s.GetId(),
		Meta:         meta(s),
		Spec:         ServiceSpecOf(s.GetSpec(), s.GetImages(), s.GetRestarts()),
		Endpoint:     swarm.Endpoint{Spec: endpointSpec(s.GetSpec()), Ports: PortsOf(s.GetPorts())},
		UpdateStatus: updateStatus(s.GetUpdate()),
	}
	if h := s.GetHistory(); len(h) > 0 {
		last := h[len(h)-1]
		previous := ServiceSpecOf(last.GetSpec(), last.GetImages(), last.GetRestarts())
		out.PreviousSpec = &previous
	}
	return out
}

// ServiceSpecOf returns s in Docker's shape, in which an image has the digest and
// platforms it was resolved to, and ForceUpdate is the number of the last
// restart. What is unset and has a default that Docker shows is shown with it.
func ServiceSpecOf(s *clusterpb.ServiceSpec, images []*clusterpb.ResolvedImage, restarts uint64) ServiceSpec {
	out := ServiceSpec{
		Annotations:    swarm.Annotations{Name: s.GetName(), Labels: labels(s.GetLabels())},
		TaskTemplate:   taskSpec(s.GetTask(), images, restarts),
		UpdateConfig:   updateConfig(s.GetUpdate()),
		RollbackConfig: updateConfig(s.GetRollback()),
		EndpointSpec:   endpointSpec(s),
	}
	if r := s.GetReplicated(); r != nil {
		n := uint64(r.GetReplicas())
		out.Mode.Replicated = &swarm.ReplicatedService{Replicas: &n}
	}
	return out
}

// endpointSpec always has the mode: the mesh spreads what comes to one address.
func endpointSpec(s *clusterpb.ServiceSpec) swarm.EndpointSpec {
	return swarm.EndpointSpec{Mode: swarm.ResolutionModeVIP, Ports: PortsOf(s.GetPorts())}
}
