package docker

import (
	"cmp"
	"time"

	"github.com/moby/moby/api/types/swarm"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
)

// TaskSpec is what each task is made from. Of Docker's fields those are empty
// that are of what muster lacks.
type TaskSpec struct {
	ContainerSpec         ContainerSpec
	PluginSpec            *swarm.RuntimeSpec           `json:",omitempty"`
	NetworkAttachmentSpec *swarm.NetworkAttachmentSpec `json:",omitempty"`
	Resources             *swarm.ResourceRequirements
	RestartPolicy         *RestartPolicy
	Placement             *swarm.Placement
	Networks              []swarm.NetworkAttachmentConfig `json:",omitempty"`
	LogDriver             *swarm.Driver                   `json:",omitempty"`
	ForceUpdate           uint64
	Runtime               swarm.RuntimeType
}

// RestartPolicy is what happens when a task ends by itself. MaxDelay caps the
// delay, which doubles.
type RestartPolicy struct {
	swarm.RestartPolicy
	MaxDelay *time.Duration `json:",omitempty"`
}

func taskSpec(t *clusterpb.TaskSpec, images []*clusterpb.ResolvedImage, restarts uint64) TaskSpec {
	return TaskSpec{
		ContainerSpec: containerSpec(t, images),
		Resources:     requirements(t.GetLimits(), t.GetReservations()),
		RestartPolicy: restartPolicy(t.GetRestart()),
		Placement:     placement(t.GetPlacement(), pod.Resolved(images, pod.Main(t).GetImage()).GetPlatforms()),
		ForceUpdate:   restarts,
		Runtime:       swarm.RuntimeContainer,
	}
}

func restartPolicy(r *clusterpb.RestartPolicy) *RestartPolicy {
	attempts, delay, maxDelay := uint64(r.GetMaxAttempts()), spec.RestartDelay(r), spec.RestartMaxDelay(r)
	return &RestartPolicy{
		RestartPolicy: swarm.RestartPolicy{
			Condition:   cmp.Or(word[swarm.RestartPolicyCondition](r.GetCondition(), "CONDITION_"), swarm.RestartPolicyConditionAny),
			Delay:       &delay,
			MaxAttempts: &attempts,
			Window:      duration(r.GetWindow()),
		},
		MaxDelay: &maxDelay,
	}
}

// requirements has both parts whatever is set: templates name what is in them.
func requirements(limits, reservations *clusterpb.Resources) *swarm.ResourceRequirements {
	reserved := resources(reservations)
	return &swarm.ResourceRequirements{
		Limits:       &swarm.Limit{NanoCPUs: limits.GetNanoCpus(), MemoryBytes: limits.GetMemoryBytes(), Pids: limits.GetPids()},
		Reservations: &reserved,
	}
}

func resources(r *clusterpb.Resources) swarm.Resources {
	return swarm.Resources{NanoCPUs: r.GetNanoCpus(), MemoryBytes: r.GetMemoryBytes()}
}

func placement(p *clusterpb.Placement, platforms []*clusterpb.Platform) *swarm.Placement {
	out := &swarm.Placement{Constraints: p.GetConstraints(), MaxReplicas: uint64(p.GetMaxPerNode())}
	for _, label := range p.GetSpread() {
		out.Preferences = append(out.Preferences, swarm.PlacementPreference{Spread: &swarm.SpreadOver{SpreadDescriptor: label}})
	}
	for _, platform := range platforms {
		out.Platforms = append(out.Platforms, platformOf(platform))
	}
	return out
}

func platformOf(p *clusterpb.Platform) swarm.Platform {
	return swarm.Platform{Architecture: p.GetArchitecture(), OS: p.GetOs()}
}
