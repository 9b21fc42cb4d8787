package spec

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/constraint"
	"github.com/muster/muster/proto/image"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/port"
)

const (
	minMemory   = 4 << 20   // below this runc cannot start a process
	minNanoCPUs = 1_000_000 // 0.001 core
	// Above these the figures that a kernel is told would overflow.
	maxNanoCPUs = 10_000 * 1_000_000_000 // 10,000 cores
	maxMemory   = 1 << 50                // 1 PiB
	maxPids     = 1 << 22                // the kernel's PID_MAX_LIMIT: a cgroup takes no more
	maxName     = 63                     // a DNS label
	maxReplicas = 65_533                 // as many addresses as a /16 has for tasks
)

var serviceName = regexp.MustCompile(`^[a-zA-Z0-9]([-_a-zA-Z0-9]*[a-zA-Z0-9])?$`)

// invalid makes an error of the kind that means: the caller must change the input.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}

// ValidateService refuses a spec that could never run, naming the value and
// what is allowed.
func ValidateService(s *clusterpb.ServiceSpec) error {
	if err := validateName(s.GetName()); err != nil {
		return err
	}
	if s.GetReplicated() == nil {
		return invalid("the service has no mode: set replicas")
	}
	if n := s.GetReplicated().GetReplicas(); n > maxReplicas {
		return invalid("replicas %d: at most %d, the addresses of a /16", n, maxReplicas)
	}
	for _, check := range []error{
		validateTexts(s),
		validateLabels("service", s.GetLabels()),
		validatePod(s.GetTask()),
		validateTemplates(s),
		validateResources("limit", s.GetTask().GetLimits()),
		validateResources("reservation", s.GetTask().GetReservations()),
		validateRestart(s.GetTask().GetRestart()),
		validatePlacement(s.GetTask().GetPlacement()),
		validateUpdate("update", s.GetUpdate()),
		validateUpdate("rollback", s.GetRollback()),
		ValidatePorts(s.GetPorts()),
	} {
		if check != nil {
			return check
		}
	}
	if s.GetRollback().GetFailureAction() == clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK {
		return invalid("rollback failure action rollback: a rollback is not rolled back; use pause or continue")
	}
	return nil
}

func validateName(name string) error {
	if len(name) > maxName || !serviceName.MatchString(name) {
		return invalid("service name %q: use 1 to %d letters, digits, hyphens and underscores, a letter or digit at either end", name, maxName)
	}
	return nil
}

// validatePod checks the containers of a task and what they share.
func validatePod(t *clusterpb.TaskSpec) error {
	if n := len(t.GetContainers()); n != 1 {
		return invalid("the task has %d containers: exactly 1 is allowed", n)
	}
	if err := validateNames(t); err != nil {
		return err
	}
	return validateContainer(pod.Main(t))
}

func validateContainer(c *clusterpb.ContainerSpec) error {
	if c.GetImage() == "" {
		return invalid("the service has no image")
	}
	if _, err := image.Parse(c.GetImage()); err != nil {
		return err
	}
	for _, e := range c.GetEnv() {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return invalid("environment %q: use NAME=VALUE", e)
		}
	}
	if d := c.GetDir(); d != "" && !strings.HasPrefix(d, "/") {
		return invalid("working directory %q: use an absolute path", d)
	}
	if err := validateDurations("", 24*time.Hour, timed{"stop grace period", c.GetStopGracePeriod()}, timed{"drain timeout", c.GetDrainTimeout()}); err != nil {
		return err
	}
	if n := c.GetOomScoreAdj(); n < -1000 || n > 1000 {
		return invalid("oom score adjustment %d: use -1000 to 1000", n)
	}
	for _, check := range []error{
		validateLabels("container", c.GetLabels()), validateWords(c), validateHealth(c.GetHealth()),
	} {
		if check != nil {
			return check
		}
	}
	return nil
}

func validateResources(what string, r *clusterpb.Resources) error {
	switch {
	case r.GetNanoCpus() != 0 && r.GetNanoCpus() < minNanoCPUs:
		return invalid("cpu %s %g: at least 0.001", what, float64(r.GetNanoCpus())/1e9)
	case r.GetNanoCpus() > maxNanoCPUs:
		return invalid("cpu %s %g: at most 10000", what, float64(r.GetNanoCpus())/1e9)
	case r.GetMemoryBytes() > maxMemory:
		return invalid("memory %s %d bytes: at most 1 PiB", what, r.GetMemoryBytes())
	case r.GetMemoryBytes() != 0 && r.GetMemoryBytes() < minMemory:
		return invalid("memory %s %d bytes: at least 4 MiB", what, r.GetMemoryBytes())
	case r.GetPids() < 0 || r.GetPids() > maxPids:
		return invalid("pids %s %d: use 0 for no limit, or 1 to %d", what, r.GetPids(), maxPids)
	}
	return nil
}

func validateRestart(r *clusterpb.RestartPolicy) error {
	return validateDurations("restart ", longest, timed{"delay", r.GetDelay()}, timed{"max delay", r.GetMaxDelay()}, timed{"window", r.GetWindow()})
}

func validatePlacement(p *clusterpb.Placement) error {
	if _, err := constraint.ParseAll(p.GetConstraints()); err != nil {
		return err
	}
	for _, s := range p.GetSpread() {
		if err := constraint.ParseSpread(s); err != nil {
			return err
		}
	}
	return nil
}

func validateUpdate(what string, u *clusterpb.UpdateConfig) error {
	if r := u.GetMaxFailureRatio(); !(r >= 0 && r <= 1) { // NaN is neither
		return invalid("%s max failure ratio %g: use 0 to 1", what, r)
	}
	if d := u.GetProgressDeadline(); d != nil && d.AsDuration() == 0 {
		return invalid("%s progress deadline 0s: use more than 0s, to %gh", what, longest.Hours())
	}
	return validateDurations(what+" ", longest,
		timed{"delay", u.GetDelay()}, timed{"monitor", u.GetMonitor()}, timed{"progress deadline", u.GetProgressDeadline()})
}

// ValidatePorts refuses ports out of range and a port published twice.
func ValidatePorts(ports []*clusterpb.Port) error {
	seen := make(map[port.Key]bool)
	for _, p := range ports {
		if p.GetTarget() < 1 || p.GetTarget() > port.Max {
			return invalid("target port %d: use 1 to 65535", p.GetTarget())
		}
		if p.GetPublished() > port.Max {
			return invalid("published port %d: use 1 to 65535", p.GetPublished())
		}
		if p.GetProtocol() == clusterpb.Port_PROTOCOL_UNSPECIFIED || p.GetMode() == clusterpb.Port_MODE_UNSPECIFIED {
			return invalid("published port %d has no protocol or mode", p.GetPublished())
		}
		k := port.Of(p)
		if k.Number != 0 && seen[k] {
			return invalid("port %s is published twice", k)
		}
		seen[k] = true
	}
	return nil
}
