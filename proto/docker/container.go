package docker

import (
	"net/netip"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
)

// ContainerSpec is what runs. DrainTimeout is how long open connections may go
// on before the stop signal. A registry's credential is never part of it.
type ContainerSpec struct {
	swarm.ContainerSpec
	DrainTimeout *time.Duration
	Healthcheck  *Healthcheck `json:",omitempty"`
}

// Healthcheck is how a task is found fit to serve: Test, HTTP (PORT[/PATH]) or
// TCP (a port) is set.
type Healthcheck struct {
	container.HealthConfig
	HTTP string `json:",omitempty"`
	TCP  uint32 `json:",omitempty"`
}

// containerSpec is the main container of a task. Docker counts to it what the
// containers of a pod share.
func containerSpec(t *clusterpb.TaskSpec, images []*clusterpb.ResolvedImage) ContainerSpec {
	c := pod.Main(t)
	grace, drain := spec.StopGracePeriod(c), spec.DrainTimeout(c)
	return ContainerSpec{
		ContainerSpec: swarm.ContainerSpec{
			Image:           pod.Image(t, images),
			Labels:          c.GetLabels(),
			Command:         c.GetCommand(),
			Args:            c.GetArgs(),
			Hostname:        t.GetHostname(),
			Env:             c.GetEnv(),
			Dir:             c.GetDir(),
			User:            c.GetUser(),
			Groups:          c.GetGroups(),
			Init:            c.Init,
			TTY:             c.GetTty(),
			ReadOnly:        c.GetReadOnly(),
			StopSignal:      c.GetStopSignal(),
			StopGracePeriod: &grace,
			Hosts:           t.GetHosts(),
			DNSConfig:       dnsConfig(t.GetDns()),
			CapabilityAdd:   c.GetCapAdd(),
			CapabilityDrop:  c.GetCapDrop(),
			Isolation:       container.IsolationDefault,
			Sysctls:         t.GetSysctls(),
			Ulimits:         ulimits(c.GetUlimits()),
			OomScoreAdj:     int64(c.GetOomScoreAdj()),
		},
		DrainTimeout: &drain,
		Healthcheck:  healthcheck(c.GetHealth()),
	}
}

func healthcheck(h *clusterpb.HealthCheck) *Healthcheck {
	if h == nil {
		return nil
	}
	return &Healthcheck{
		HealthConfig: container.HealthConfig{
			Test:          h.GetTest(),
			Interval:      h.GetInterval().AsDuration(),
			Timeout:       h.GetTimeout().AsDuration(),
			StartPeriod:   h.GetStartPeriod().AsDuration(),
			StartInterval: h.GetStartInterval().AsDuration(),
			Retries:       int(h.GetRetries()),
		},
		HTTP: h.GetHttp(),
		TCP:  h.GetTcp(),
	}
}

func dnsConfig(d *clusterpb.DNSConfig) *swarm.DNSConfig {
	if d == nil {
		return nil
	}
	out := &swarm.DNSConfig{Search: d.GetSearch(), Options: d.GetOptions()}
	for _, server := range d.GetServers() {
		if addr, err := netip.ParseAddr(server); err == nil { // proto/spec took no other
			out.Nameservers = append(out.Nameservers, addr)
		}
	}
	return out
}

func ulimits(list []*clusterpb.Ulimit) (out []*container.Ulimit) {
	for _, u := range list {
		out = append(out, &container.Ulimit{Name: u.GetName(), Soft: u.GetSoft(), Hard: u.GetHard()})
	}
	return out
}
