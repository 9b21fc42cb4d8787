package edit

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/cli/flags"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// service defines the flags of the service as a whole.
func (e *Edits) service() {
	one(e, "replicas", "", "how many tasks run; 1 by default", flags.Count,
		func(s *Spec, n uint32) {
			s.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: n}}
		})
	many(e, "label", e.short("l"), "label of the service", flags.Label,
		func(s *Spec, kv [2]string) { put(&s.Labels, kv) },
		func(s *Spec, key string) { delete(s.Labels, key) })
	manyKinds(e, "publish", e.short("p"), "publish a port: [PUBLISHED:]TARGET[/PROTOCOL], or target=,published=,protocol=,mode=", flags.Ports,
		addPorts, flags.Target, removePort)
}

// short is a shorthand that only create has, as in Docker.
func (e *Edits) short(letter string) string {
	if e.update {
		return ""
	}
	return letter
}

func addPorts(s *Spec, ports []*clusterpb.Port) {
	for _, p := range ports {
		// Adding what leads to the same target from the same port replaces it,
		// so that running a command twice changes nothing.
		s.Ports = slices.DeleteFunc(s.Ports, func(old *clusterpb.Port) bool {
			return old.GetTarget() == p.GetTarget() && old.GetPublished() == p.GetPublished() && protocol(old) == protocol(p)
		})
		s.Ports = append(s.Ports, p)
	}
}

func removePort(s *Spec, target *clusterpb.Port) {
	s.Ports = slices.DeleteFunc(s.Ports, func(p *clusterpb.Port) bool {
		return p.GetTarget() == target.GetTarget() &&
			(target.GetProtocol() == clusterpb.Port_PROTOCOL_UNSPECIFIED || protocol(p) == target.GetProtocol())
	})
}

func protocol(p *clusterpb.Port) clusterpb.Port_Protocol {
	if p.GetProtocol() == clusterpb.Port_PROTOCOL_UNSPECIFIED {
		return clusterpb.Port_PROTOCOL_TCP
	}
	return p.GetProtocol()
}

// process defines what runs and how it is stopped.
func (e *Edits) process() {
	if e.update {
		one(e, "image", "", "image to run", flags.Image, func(s *Spec, v string) { container(s).Image = v })
		one(e, "args", "", "arguments of the command, as a shell splits them", flags.Words, func(s *Spec, v []string) { container(s).Args = v })
	}
	one(e, "entrypoint", "", "replace the image's entrypoint, as a shell splits it", flags.Words, func(s *Spec, v []string) { container(s).Command = v })
	one(e, "workdir", "w", "working directory", flags.Text, func(s *Spec, v string) { container(s).Dir = v })
	one(e, "user", "u", "user to run as: NAME|UID[:GROUP|GID]", flags.Text, func(s *Spec, v string) { container(s).User = v })
	many(e, "group", "", "supplementary group of the user", flags.Name,
		func(s *Spec, v string) { include(&container(s).Groups, v) },
		func(s *Spec, v string) { exclude(&container(s).Groups, v) })
	one(e, "hostname", "", "host name of the container", flags.Text, func(s *Spec, v string) { task(s).Hostname = v })
	many(e, "container-label", "", "label of the containers", flags.Label,
		func(s *Spec, kv [2]string) { put(&container(s).Labels, kv) },
		func(s *Spec, key string) { delete(container(s).Labels, key) })
	e.toggle("tty", "t", "give the process a terminal", func(s *Spec, on bool) { container(s).Tty = on })
	e.toggle("read-only", "", "mount the root file system read-only", func(s *Spec, on bool) { container(s).ReadOnly = on })
	one(e, "stop-signal", "", "signal that stops the process; the image's, or SIGTERM, by default", flags.Signal, func(s *Spec, v string) { container(s).StopSignal = v })
	one(e, "stop-grace-period", "", "wait between the stop signal and the kill; 10s by default", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { container(s).StopGracePeriod = d })
	one(e, "drain-timeout", "", "how long open connections may go on before the stop signal; 10s by default", flags.Duration,
		func(s *Spec, d *durationpb.Duration) { container(s).DrainTimeout = d })
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
	many(e, "env", e.short("e"), "environment variable: KEY=VALUE, or KEY for this shell's value", flags.Env(e.lookup), set,
		func(s *Spec, key string) {
			c := container(s)
			c.Env = slices.DeleteFunc(c.Env, func(old string) bool { return keyOf(old) == keyOf(key) })
		})
	if e.update {
		return
	}
	flags.Var(e.fs, "env-file", "", "read environment variables from a file; --env wins", flags.EnvFile(e.lookup), func(entries []string) {
		for _, entry := range entries {
			e.first = append(e.first, func(s *Spec) { set(s, entry) })
		}
	})
}

// security defines capabilities, kernel parameters and limits of the process.
func (e *Edits) security() {
	one(e, "cap-add", "", "give a capability, or ALL", flags.Capability, func(s *Spec, v string) {
		exclude(&container(s).CapDrop, v)
		include(&container(s).CapAdd, v)
	})
	one(e, "cap-drop", "", "take a capability away, or ALL", flags.Capability, func(s *Spec, v string) {
		exclude(&container(s).CapAdd, v)
		include(&container(s).CapDrop, v)
	})
	many(e, "sysctl", "", "kernel parameter of the container", flags.Pair,
		func(s *Spec, kv [2]string) { put(&task(s).Sysctls, kv) },
		func(s *Spec, key string) { delete(task(s).Sysctls, key) })
	many(e, "ulimit", "", "limit of the process: NAME=SOFT[:HARD]", flags.Ulimit,
		func(s *Spec, u *clusterpb.Ulimit) {
			removeUlimit(s, u.GetName())
			container(s).Ulimits = append(container(s).Ulimits, u)
		}, removeUlimit)
	one(e, "oom-score-adj", "", "who is killed first when memory is short, -1000 to 1000", flags.Int(-1000, 1000),
		func(s *Spec, n int64) { container(s).OomScoreAdj = int32(n) })
}

func removeUlimit(s *Spec, name string) {
	c := container(s)
	c.Ulimits = slices.DeleteFunc(c.Ulimits, func(u *clusterpb.Ulimit) bool { return u.GetName() == name })
}

// resolver defines name resolution.
func (e *Edits) resolver() {
	list := func(name, usage string, kind flags.Kind[string], of func(*Spec) *[]string) {
		many(e, name, "", usage, kind,
			func(s *Spec, v string) { include(of(s), v) },
			func(s *Spec, v string) { exclude(of(s), v) })
	}
	list("dns", "address of a DNS server", flags.IP, func(s *Spec) *[]string { return &dns(s).Servers })
	list("dns-search", "DNS search domain", flags.Name, func(s *Spec) *[]string { return &dns(s).Search })
	list("dns-option", "option of resolv.conf", flags.Name, func(s *Spec) *[]string { return &dns(s).Options })
	many(e, "host", "", "line of /etc/hosts: NAME:IP", flags.ExtraHost,
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
	one(e, "limit-cpu", "", "most cores a task may use", flags.CPUs, func(s *Spec, n int64) { limits(s).NanoCpus = n })
	one(e, "limit-memory", "", "most memory a task may use", flags.Bytes, func(s *Spec, n int64) { limits(s).MemoryBytes = n })
	one(e, "limit-pids", "", "most processes a task may have; 0 is no limit", flags.Int(0, 1<<22), func(s *Spec, n int64) { limits(s).Pids = n })
	one(e, "reserve-cpu", "", "cores kept free for a task", flags.CPUs, func(s *Spec, n int64) { reservations(s).NanoCpus = n })
	one(e, "reserve-memory", "", "memory kept free for a task", flags.Bytes, func(s *Spec, n int64) { reservations(s).MemoryBytes = n })
}
