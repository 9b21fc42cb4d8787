package shape

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/spec"
)

// Of returns s in Docker's shape.
func Of(s *clusterpb.Service) Service {
	out := Service{
		ID:           s.GetId(),
		Version:      Version{s.GetVersion()},
		CreatedAt:    s.GetCreatedAt().AsTime(),
		UpdatedAt:    s.GetUpdatedAt().AsTime(),
		Spec:         OfSpec(s.GetSpec()),
		Endpoint:     Endpoint{EndpointSpec{ports(s.GetSpec().GetPorts())}, ports(s.GetPorts())},
		UpdateStatus: updateStatus(s.GetUpdate()),
	}
	if h := s.GetHistory(); len(h) > 0 {
		previous := OfSpec(h[len(h)-1].GetSpec())
		out.PreviousSpec = &previous
	}
	return out
}

// OfSpec returns s in Docker's shape. What is unset and has a default that
// Docker shows is shown with it.
func OfSpec(s *clusterpb.ServiceSpec) Spec {
	out := Spec{
		Name:           s.GetName(),
		Labels:         s.GetLabels(),
		TaskTemplate:   taskTemplate(s.GetTask()),
		UpdateConfig:   updateConfig(s.GetUpdate()),
		RollbackConfig: updateConfig(s.GetRollback()),
		EndpointSpec:   EndpointSpec{ports(s.GetPorts())},
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	if r := s.GetReplicated(); r != nil {
		out.Mode.Replicated = &Replicated{r.GetReplicas()}
	}
	return out
}

func taskTemplate(t *clusterpb.TaskSpec) TaskTemplate {
	out := TaskTemplate{ContainerSpec: containerSpec(t.GetContainer()), ForceUpdate: t.GetForceUpdate()}
	if l, r := resources(t.GetLimits()), resources(t.GetReservations()); l != nil || r != nil {
		out.Resources = &Requirements{l, r}
	}
	if r := t.GetRestart(); r != nil {
		out.RestartPolicy = &RestartPolicy{
			Condition:   orElse(strings.ReplaceAll(enum(r.GetCondition().String(), "CONDITION_"), "_", "-"), "any"),
			Delay:       duration(r.GetDelay()),
			MaxDelay:    duration(r.GetMaxDelay()),
			MaxAttempts: r.GetMaxAttempts(),
			Window:      duration(r.GetWindow()),
		}
	}
	if p := t.GetPlacement(); p != nil {
		out.Placement = &Placement{Constraints: p.GetConstraints(), MaxReplicas: p.GetMaxPerNode()}
		for _, label := range p.GetSpread() {
			out.Placement.Preferences = append(out.Placement.Preferences, Preference{Spread{label}})
		}
		for _, platform := range p.GetPlatforms() {
			out.Placement.Platforms = append(out.Placement.Platforms, Platform{platform.GetArchitecture(), platform.GetOs()})
		}
	}
	return out
}

func containerSpec(c *clusterpb.ContainerSpec) ContainerSpec {
	out := ContainerSpec{
		Image:           c.GetImage(),
		Labels:          c.GetLabels(),
		Command:         c.GetCommand(),
		Args:            c.GetArgs(),
		Hostname:        c.GetHostname(),
		Env:             c.GetEnv(),
		Dir:             c.GetDir(),
		User:            c.GetUser(),
		Groups:          c.GetGroups(),
		TTY:             c.GetTty(),
		ReadOnly:        c.GetReadOnly(),
		StopSignal:      c.GetStopSignal(),
		StopGracePeriod: duration(c.GetStopGracePeriod()),
		DrainTimeout:    duration(c.GetDrainTimeout()),
		Hosts:           c.GetHosts(),
		CapabilityAdd:   c.GetCapAdd(),
		CapabilityDrop:  c.GetCapDrop(),
		Sysctls:         c.GetSysctls(),
		OomScoreAdj:     c.GetOomScoreAdj(),
	}
	if h := c.GetHealth(); h != nil {
		out.Healthcheck = &Healthcheck{
			Test:          h.GetTest(),
			HTTP:          h.GetHttp(),
			TCP:           h.GetTcp(),
			Interval:      duration(h.GetInterval()),
			Timeout:       duration(h.GetTimeout()),
			StartPeriod:   duration(h.GetStartPeriod()),
			StartInterval: duration(h.GetStartInterval()),
			Retries:       h.GetRetries(),
		}
	}
	if d := c.GetDns(); d != nil {
		out.DNSConfig = &DNSConfig{d.GetServers(), d.GetSearch(), d.GetOptions()}
	}
	for _, u := range c.GetUlimits() {
		out.Ulimits = append(out.Ulimits, Ulimit{Name: u.GetName(), Hard: u.GetHard(), Soft: u.GetSoft()})
	}
	return out
}

func resources(r *clusterpb.Resources) *Resources {
	if r == nil {
		return nil
	}
	return &Resources{NanoCPUs: r.GetNanoCpus(), MemoryBytes: r.GetMemoryBytes(), Pids: r.GetPids()}
}

func updateConfig(u *clusterpb.UpdateConfig) *UpdateConfig {
	if u == nil {
		return nil
	}
	out := &UpdateConfig{
		Parallelism:      spec.Parallelism(u),
		Delay:            duration(u.GetDelay()),
		FailureAction:    orElse(enum(u.GetFailureAction().String(), "FAILURE_ACTION_"), "pause"),
		Monitor:          duration(u.GetMonitor()),
		MaxFailureRatio:  u.GetMaxFailureRatio(),
		Order:            orElse(strings.ReplaceAll(enum(u.GetOrder().String(), "ORDER_"), "_", "-"), "stop-first"),
		ProgressDeadline: duration(u.GetProgressDeadline()),
		Canary:           u.GetCanary(),
	}
	if out.Canary > 0 {
		out.Promote = orElse(enum(u.GetPromote().String(), "PROMOTE_"), "manual")
	}
	return out
}

func updateStatus(u *clusterpb.UpdateStatus) *UpdateStatus {
	if u.GetState() == clusterpb.UpdateStatus_STATE_UNSPECIFIED {
		return nil
	}
	return &UpdateStatus{
		State:       UpdateState(u.GetState()),
		StartedAt:   at(u.GetStartedAt()),
		CompletedAt: at(u.GetCompletedAt()),
		Message:     u.GetMessage(),
	}
}

func ports(list []*clusterpb.Port) []Port {
	var out []Port
	for _, p := range list {
		out = append(out, Port{
			Protocol:      spec.ProtocolName(p.GetProtocol()),
			TargetPort:    p.GetTarget(),
			PublishedPort: p.GetPublished(),
			PublishMode:   orElse(enum(p.GetMode().String(), "MODE_"), "ingress"),
		})
	}
	return out
}

func duration(d *durationpb.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	v := d.AsDuration()
	return &v
}

func at(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	v := t.AsTime()
	return &v
}

// enum is the name of a value as people write it: "" when it is unset.
func enum(s, prefix string) string {
	if s = strings.TrimPrefix(s, prefix); s == "UNSPECIFIED" {
		return ""
	}
	return strings.ToLower(s)
}

func orElse(s, unset string) string {
	if s == "" {
		return unset
	}
	return s
}
