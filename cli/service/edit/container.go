package edit

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/flags"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
)

// mode is the kind of a service: there is one so far.
var mode = flags.Kind[string]{Name: "string", Parse: func(s string) (string, error) {
	switch s {
	case "replicated":
		return s, nil
	case "global", "replicated-job", "global-job":
		return "", command.Misusef("must be replicated; %s is a kind of service of Docker's that muster does not have yet", s)
	}
	return "", command.Misusef("must be replicated")
}}

// service defines the flags of the service as a whole.
func (e *Edits) service() {
	replicas := one(e, "replicas", "", "number of tasks to run", flags.Count,
		func(s *Spec, n uint32) {
			s.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: n}}
		})
	e.byDefault(replicas, "1")
	if !e.update { // what a service is does not change later, as in Docker
		// Create makes no other, but converters write the default down.
		e.byDefault(one(e, "mode", "", "kind of service: replicated", mode, func(*Spec, string) {}), "replicated")
	}
	many(e, list{"label", "l", "service label", "add or replace a service label", "remove a service label by its key"}, flags.Label,
		func(s *Spec, kv [2]string) { put(&s.Labels, kv) },
		func(s *Spec, key string) { delete(s.Labels, key) })
	const forms = ": [PUBLISHED:]TARGET[/PROTOCOL], or KEY=VALUE[,...] with the keys target, published, protocol (tcp or udp) and mode (ingress or host)"
	manyKinds(e, list{"publish", "p", "publish a port" + forms, "publish another port" + forms, "unpublish a port: TARGET[/PROTOCOL]"}, flags.Ports,
		addPorts, flags.Target, removePort)
}

func addPorts(s *Spec, ports []*clusterpb.Port) {
	for _, p := range ports {
		// Adding what leads to the same target from the same port replaces it,
		// so that running a command twice changes nothing.
		s.Ports = slices.DeleteFunc(s.Ports, func(old *clusterpb.Port) bool {
			return old.GetTarget() == p.GetTarget() && old.GetPublished() == p.GetPublished() && port.Protocol(old) == port.Protocol(p)
		})
		s.Ports = append(s.Ports, p)
	}
}

func removePort(s *Spec, target *clusterpb.Port) {
	s.Ports = slices.DeleteFunc(s.Ports, func(p *clusterpb.Port) bool {
		return p.GetTarget() == target.GetTarget() &&
			(target.GetProtocol() == clusterpb.Port_PROTOCOL_UNSPECIFIED || port.Protocol(p) == target.GetProtocol())
	})
}

// process defines what runs and how it is stopped.
func (e *Edits) process() {
	if e.update {
		one(e, "image", "", "image to run", flags.Image, func(s *Spec, v string) { container(s).Image = v })
		one(e, "args", "", "arguments for the command, split as by a shell", flags.Words, func(s *Spec, v []string) { container(s).Args = v })
	}
	one(e, "entrypoint", "", "command that replaces the image's entrypoint, split as by a shell", flags.Words, func(s *Spec, v []string) {
		if len(v) == 0 { // "" takes the image's away, as in Docker
			v = []string{""}
		}
		container(s).Command = v
	})
	one(e, "workdir", "w", "working directory in the container", flags.Text, func(s *Spec, v string) { container(s).Dir = v })
	one(e, "user", "u", "user to run as: NAME|UID[:GROUP|GID]", flags.Text, func(s *Spec, v string) { container(s).User = v })
	many(e, list{"group", "", "supplementary group of the user", "add a supplementary group of the user", "remove a supplementary group of the user"}, flags.Name,
		func(s *Spec, v string) { include(&container(s).Groups, v) },
		func(s *Spec, v string) { exclude(&container(s).Groups, v) })
	one(e, "hostname", "", "hostname of the container", flags.Text, func(s *Spec, v string) { task(s).Hostname = v })
	many(e, list{"container-label", "", "container label", "add or replace a container label", "remove a container label by its key"}, flags.Label,
		func(s *Spec, kv [2]string) { put(&container(s).Labels, kv) },
		func(s *Spec, key string) { delete(container(s).Labels, key) })
	e.toggle("init", "", "run an init in the container that forwards signals and reaps processes", func(s *Spec, on bool) { container(s).Init = &on })
	e.toggle("tty", "t", "allocate a pseudo-TTY", func(s *Spec, on bool) { container(s).Tty = on })
	e.toggle("read-only", "", "mount the root filesystem read-only", func(s *Spec, on bool) { container(s).ReadOnly = on })
	one(e, "stop-signal", "", "signal that stops the container instead of the image's, or SIGTERM", flags.Signal, func(s *Spec, v string) { container(s).StopSignal = v })
	e.byDefault(one(e, "stop-grace-period", "", "time between the stop signal and SIGKILL", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { container(s).StopGracePeriod = d }), "10s")
	e.byDefault(one(e, "drain-timeout", "", "time that open connections have to finish before the stop signal", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { container(s).DrainTimeout = d }), "10s")
}

// environment defines --env and --env-file.
func (e *Edits) environment() {
	set := func(s *Spec, entry string) {
		if entry == "" {
			return // the client has no such variable
		}
		env := &container(s).Env
		if i := slices.IndexFunc(*env, func(old string) bool { return keyOf(old) == keyOf(entry) }); i >= 0 {
			(*env)[i] = entry
			return
		}
		*env = append(*env, entry)
	}
	const forms = ": KEY=VALUE, or KEY to take the value from this shell"
	many(e, list{"env", "e", "environment variable" + forms, "add or replace an environment variable" + forms, "remove an environment variable by its key"}, flags.Env(e.lookup), set,
		func(s *Spec, key string) {
			c := container(s)
			c.Env = slices.DeleteFunc(c.Env, func(old string) bool { return keyOf(old) == keyOf(key) })
		})
	if e.update {
		return
	}
	flags.Repeatable(e.grouped(flags.Var(e.fs, "env-file", "", "file to read environment variables from; --env takes precedence", flags.EnvFile(e.lookup), func(entries []string) {
		for _, entry := range entries {
			e.first = append(e.first, func(s *Spec) { set(s, entry) })
		}
	})))
}

// security defines capabilities, kernel parameters and limits of the process.
func (e *Edits) security() {
	flags.Repeatable(one(e, "cap-add", "", "add a Linux capability, or ALL", flags.Capability, func(s *Spec, v string) {
		exclude(&container(s).CapDrop, v)
		include(&container(s).CapAdd, v)
	}))
	flags.Repeatable(one(e, "cap-drop", "", "drop a Linux capability, or ALL", flags.Capability, func(s *Spec, v string) {
		exclude(&container(s).CapAdd, v)
		include(&container(s).CapDrop, v)
	}))
	many(e, list{"sysctl", "", "kernel parameter in the container", "add or replace a kernel parameter in the container", "remove a kernel parameter by its key"}, flags.Pair,
		func(s *Spec, kv [2]string) { put(&task(s).Sysctls, kv) },
		func(s *Spec, key string) { delete(task(s).Sysctls, key) })
	many(e, list{"ulimit", "", "ulimit: NAME=SOFT[:HARD]", "add or replace a ulimit: NAME=SOFT[:HARD]", "remove a ulimit by its name"}, flags.Ulimit,
		func(s *Spec, u *clusterpb.Ulimit) {
			removeUlimit(s, u.GetName())
			container(s).Ulimits = append(container(s).Ulimits, u)
		}, removeUlimit)
	one(e, "oom-score-adj", "", "adjust how likely the kernel is to kill the process when memory runs out, from -1000 to 1000", flags.Int(-1000, 1000),
		func(s *Spec, n int64) { container(s).OomScoreAdj = int32(n) })
}

func removeUlimit(s *Spec, name string) {
	c := container(s)
	c.Ulimits = slices.DeleteFunc(c.Ulimits, func(u *clusterpb.Ulimit) bool { return u.GetName() == name })
}

// network defines name resolution.
func (e *Edits) network() {
	resolver := func(name, what string, kind flags.Kind[string], of func(*Spec) *[]string) {
		many(e, list{name, "", what, "add a " + what, "remove a " + what}, kind,
			func(s *Spec, v string) { include(of(s), v) },
			func(s *Spec, v string) { exclude(of(s), v) })
	}
	resolver("dns", "DNS server", flags.IP, func(s *Spec) *[]string { return &dns(s).Servers })
	resolver("dns-search", "DNS search domain", flags.Name, func(s *Spec) *[]string { return &dns(s).Search })
	resolver("dns-option", "DNS option", flags.Name, func(s *Spec) *[]string { return &dns(s).Options })
	many(e, list{"host", "", "entry in /etc/hosts: NAME:IP", "add an entry to /etc/hosts: NAME:IP", "remove entries from /etc/hosts: NAME or NAME:IP"}, flags.ExtraHost,
		func(s *Spec, line string) { include(&task(s).Hosts, line) },
		func(s *Spec, key string) {
			// NAME removes every address of it, NAME:IP just the one.
			line, err := flags.ExtraHost.Parse(key)
			t := task(s)
			t.Hosts = slices.DeleteFunc(t.Hosts, func(old string) bool {
				return err == nil && old == line || err != nil && strings.HasSuffix(old, " "+key)
			})
		})
}

// resources defines limits and reservations.
func (e *Edits) resources() {
	one(e, "limit-cpu", "", "maximum number of CPUs for a task", flags.CPUs, func(s *Spec, n int64) { limits(s).NanoCpus = n })
	one(e, "limit-memory", "", "maximum memory for a task", flags.Bytes, func(s *Spec, n int64) { limits(s).MemoryBytes = n })
	one(e, "limit-pids", "", "maximum number of processes in a task; 0 is unlimited", flags.Int(0, 1<<22), func(s *Spec, n int64) { limits(s).Pids = n })
	one(e, "reserve-cpu", "", "CPUs to reserve for a task", flags.CPUs, func(s *Spec, n int64) { reservations(s).NanoCpus = n })
	one(e, "reserve-memory", "", "memory to reserve for a task", flags.Bytes, func(s *Spec, n int64) { reservations(s).MemoryBytes = n })
}
