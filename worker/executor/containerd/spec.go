package containerd

import (
	"context"
	"fmt"
	"maps"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/muster/muster/worker/images"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

// cpuPeriod is the time in microseconds over which the use of cores is
// limited: the kernel's default.
const cpuPeriod = 100_000

// recipe is all that a container's OCI spec is made from.
type recipe struct {
	task  *clusterpb.Task
	image *images.Image
	host  host
	user  specs.User
	// netns is the path of the network namespace; "" is one of its own.
	netns  string
	cgroup string
	// mounts are the files bound over the image's.
	mounts []specs.Mount
	// init is the program for containers that ask for one.
	init string
}

// spec makes the OCI spec. It only decides: nothing is read or made.
func (r recipe) spec(ctx context.Context) (*specs.Spec, error) {
	c := pod.Main(r.task.GetSpec())
	// containerd's defaults ask the context for a namespace, for the cgroup
	// that is replaced below.
	ctx = namespaces.WithNamespace(ctx, Namespace)
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: r.task.GetId()},
		oci.WithoutRunMount,
		oci.WithHostname(hostname(r.task)),
		oci.WithCgroup(r.cgroup),
		oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.CgroupNamespace}),
		oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: r.netns}),
		oci.WithMounts([]specs.Mount{{
			Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
			Options: []string{"ro", "nosuid", "noexec", "nodev"},
		}}),
		oci.WithMounts(r.mounts))
	if err != nil {
		return nil, fmt.Errorf("make OCI spec: %w", err)
	}
	s.Root.Readonly = c.GetReadOnly()
	s.Linux.Sysctl = sysctls(r.task.GetSpec().GetSysctls())
	s.Linux.RootfsPropagation = "rprivate"
	r.limit(s)
	if err := r.process(s); err != nil {
		return nil, err
	}
	if r.host.seccomp {
		// The profile depends on the capabilities, so it comes last.
		if s.Linux.Seccomp, err = filter(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// process fills in what is run and as whom.
func (r recipe) process(s *specs.Spec) (err error) {
	c, p := pod.Main(r.task.GetSpec()), s.Process
	if p.Args, err = arguments(c, &r.image.Config); err != nil {
		return err
	}
	if c.GetInit() {
		if err := r.addInit(s); err != nil {
			return err
		}
	}
	if p.Cwd, err = workdir(c, r.image.Config.WorkingDir); err != nil {
		return err
	}
	caps, err := mergeCaps(c.GetCapAdd(), c.GetCapDrop())
	if err != nil {
		return err
	}
	p.Env = environment(c, r.image.Config.Env, s.Hostname)
	if err := checkWords(p); err != nil {
		return err
	}
	p.User = r.user
	p.Terminal = c.GetTty()
	p.Capabilities = capabilities(caps, r.user.UID)
	p.Rlimits = rlimits(c.GetUlimits(), r.host.files)
	// Docker lets set-user-id programs work unless told otherwise.
	p.NoNewPrivileges = false
	// Always: without a value the process inherits the shim's, which the kernel
	// spares when memory runs out.
	adj := max(int(c.GetOomScoreAdj()), r.host.oomFloor)
	p.OOMScoreAdj = &adj
	return nil
}

// limit sets the limits of cores, memory and processes.
func (r recipe) limit(s *specs.Spec) {
	limits := r.task.GetSpec().GetLimits()
	res := s.Linux.Resources
	if nano := limits.GetNanoCpus(); nano > 0 {
		quota, period := nano*cpuPeriod/1e9, uint64(cpuPeriod)
		// The kernel refuses quotas below a millisecond.
		quota = max(quota, 1000)
		res.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	if memory := limits.GetMemoryBytes(); memory > 0 {
		res.Memory = &specs.LinuxMemory{Limit: &memory}
		if r.host.swap {
			// As much with swap as without: a task must not swap its way
			// around the limit.
			res.Memory.Swap = &memory
		}
	}
	if pids := limits.GetPids(); pids > 0 {
		res.Pids = &specs.LinuxPids{Limit: &pids}
	}
}

// sysctls are the spec's over Docker's, which let anybody in the container
// bind low ports and send pings.
func sysctls(own map[string]string) map[string]string {
	all := map[string]string{
		"net.ipv4.ip_unprivileged_port_start": "0",
		"net.ipv4.ping_group_range":           "0 2147483647",
	}
	maps.Copy(all, own)
	return all
}
