package text

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/docker"
	"github.com/muster/muster/proto/rollout"
)

// Pretty writes s for people.
func Pretty(w io.Writer, s *clusterpb.Service, now time.Time) {
	p := layout{w}
	v := docker.ServiceOf(s)
	p.line(0, "ID", v.ID)
	p.line(0, "Name", v.Spec.Name)
	p.pairs(0, "Labels", v.Spec.Labels)
	if r := v.Spec.Mode.Replicated; r != nil {
		p.line(0, "Service Mode", "Replicated")
		p.line(1, "Replicas", *r.Replicas)
	}
	p.updateStatus(s.GetUpdate(), now)
	p.placement(v.Spec.TaskTemplate.Placement)
	p.updateConfig("UpdateConfig", v.Spec.UpdateConfig)
	p.updateConfig("RollbackConfig", v.Spec.RollbackConfig)
	p.restart(v.Spec.TaskTemplate.RestartPolicy)
	p.container(v.Spec.TaskTemplate.ContainerSpec)
	p.health(v.Spec.TaskTemplate.ContainerSpec.Healthcheck)
	p.resources(v.Spec.TaskTemplate.Resources)
	p.ports(v.Endpoint.Ports)
}

// layout writes "Key: value" lines in sections.
type layout struct{ w io.Writer }

// line writes a value unless it is empty. Values of all depths line up.
func (p layout) line(depth int, key string, value any) {
	text := fmt.Sprint(value)
	if text == "" {
		return
	}
	indent := strings.Repeat(" ", depth)
	fmt.Fprintf(p.w, "%-20s%s\n", indent+key+":", command.Printable(text))
}

// when writes a time unless it is unset.
func (p layout) when(key string, t *timestamppb.Timestamp, now time.Time) {
	p.line(1, key, render.Ago(t, now))
}

// span writes a duration unless it is unset.
func (p layout) span(key string, d *time.Duration) {
	if d != nil {
		p.line(1, key, *d)
	}
}

// lasting writes a duration unless it is 0, which is unset.
func (p layout) lasting(key string, d time.Duration) {
	if d != 0 {
		p.line(1, key, d)
	}
}

// number writes a number unless it is 0.
func number[T int | uint32 | uint64 | int64 | float64](p layout, key string, n T) {
	if n != 0 {
		p.line(1, key, n)
	}
}

// words writes a list unless it is empty.
func (p layout) words(key string, list []string) { p.line(1, key, strings.Join(list, " ")) }

func (p layout) section(name string) { fmt.Fprintf(p.w, "%s:\n", name) }

// pairs writes a map, sorted.
func (p layout) pairs(depth int, name string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	indent := strings.Repeat(" ", depth)
	fmt.Fprintf(p.w, "%s%s:\n", indent, name)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(p.w, "%s %s\n", indent, command.Printable(k+"="+m[k]))
	}
}

func (p layout) updateStatus(u *clusterpb.UpdateStatus, now time.Time) {
	if rollout.HasNone(u.GetState()) {
		return
	}
	p.section("UpdateStatus")
	p.line(1, "State", docker.UpdateState(u.GetState()))
	p.when("Started", u.GetStartedAt(), now)
	p.when("Completed", u.GetCompletedAt(), now)
	p.line(1, "Message", u.GetMessage())
	for _, s := range u.GetProgress() {
		if s.GetFailed() {
			p.line(1, fmt.Sprintf("Slot %d failed", s.GetSlot()), s.GetErr())
		}
	}
}

func (p layout) placement(v *swarm.Placement) {
	if v == nil || len(v.Constraints)+len(v.Preferences) == 0 && v.MaxReplicas == 0 {
		return
	}
	p.section("Placement")
	p.line(1, "Constraints", strings.Join(v.Constraints, ", "))
	for _, pref := range v.Preferences {
		p.line(1, "Spread", pref.Spread.SpreadDescriptor)
	}
	number(p, "Max replicas/node", v.MaxReplicas)
}

func (p layout) updateConfig(name string, u *docker.UpdateConfig) {
	p.section(name)
	if *u.Parallelism == 0 {
		p.line(1, "Parallelism", "all")
	} else {
		p.line(1, "Parallelism", *u.Parallelism)
	}
	p.lasting("Delay", u.Delay)
	p.line(1, "On failure", u.FailureAction)
	p.span("Monitor", u.Monitor)
	p.line(1, "Max failure ratio", u.MaxFailureRatio)
	p.line(1, "Order", u.Order)
	p.span("Progress deadline", u.ProgressDeadline)
	number(p, "Canary", u.Canary)
	p.line(1, "Promote", u.Promote)
}

func (p layout) restart(r *docker.RestartPolicy) {
	if r == nil {
		return
	}
	p.section("RestartPolicy")
	p.line(1, "Condition", r.Condition)
	p.span("Delay", r.Delay)
	p.span("Max delay", r.MaxDelay)
	number(p, "Max attempts", *r.MaxAttempts)
	p.span("Window", r.Window)
}

func (p layout) container(c docker.ContainerSpec) {
	p.section("ContainerSpec")
	p.line(1, "Image", c.Image)
	p.words("Command", c.Command)
	p.words("Args", c.Args)
	p.words("Env", c.Env)
	p.line(1, "Dir", c.Dir)
	p.line(1, "User", c.User)
	p.words("Groups", c.Groups)
	p.line(1, "Hostname", c.Hostname)
	if c.Init != nil {
		p.line(1, "Init", *c.Init)
	}
	if c.TTY {
		p.line(1, "TTY", true)
	}
	if c.ReadOnly {
		p.line(1, "Read-only", true)
	}
	p.line(1, "Stop signal", c.StopSignal)
	p.span("Stop grace period", c.StopGracePeriod)
	p.span("Drain timeout", c.DrainTimeout)
	p.line(1, "Hosts", strings.Join(c.Hosts, ", "))
	if d := c.DNSConfig; d != nil {
		p.line(1, "DNS", strings.Trim(fmt.Sprint(d.Nameservers), "[]"))
		p.words("DNS search", d.Search)
		p.words("DNS options", d.Options)
	}
	p.words("Capabilities +", c.CapabilityAdd)
	p.words("Capabilities -", c.CapabilityDrop)
	for _, u := range c.Ulimits {
		p.line(1, "Ulimit", fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard))
	}
	number(p, "OOM score", c.OomScoreAdj)
	p.pairs(1, "Sysctls", c.Sysctls)
	p.pairs(1, "Labels", c.Labels)
}

func (p layout) health(h *docker.Healthcheck) {
	if h == nil {
		return
	}
	p.section("Healthcheck")
	p.words("Test", h.Test)
	p.line(1, "HTTP", h.HTTP)
	number(p, "TCP", h.TCP)
	p.lasting("Interval", h.Interval)
	p.lasting("Timeout", h.Timeout)
	p.lasting("Start period", h.StartPeriod)
	p.lasting("Start interval", h.StartInterval)
	number(p, "Retries", h.Retries)
}

func (p layout) resources(r *swarm.ResourceRequirements) {
	if r == nil {
		return
	}
	amounts := func(name string, cpus, memory, pids int64) {
		if cpus == 0 && memory == 0 && pids == 0 {
			return
		}
		p.section(name)
		number(p, "CPU", float64(cpus)/1e9)
		if memory != 0 {
			p.line(1, "Memory", render.Memory(memory))
		}
		number(p, "Processes", pids)
	}
	if a := r.Reservations; a != nil {
		amounts("Reservations", a.NanoCPUs, a.MemoryBytes, 0)
	}
	if a := r.Limits; a != nil {
		amounts("Limits", a.NanoCPUs, a.MemoryBytes, a.Pids)
	}
}

func (p layout) ports(list []swarm.PortConfig) {
	if len(list) == 0 {
		return
	}
	p.section("Ports")
	for _, text := range portTexts(list) {
		fmt.Fprintf(p.w, " %s\n", text)
	}
}
