package spec

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

func valid() *clusterpb.ServiceSpec {
	return &clusterpb.ServiceSpec{
		Name: "web",
		Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}},
		Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "nginx:latest"}}},
	}
}

// TestSameRefusal: of several faults of a spec the same is named each time.
func TestSameRefusal(t *testing.T) {
	bad := durationpb.New(-time.Second)
	labels := map[string]string{"a b": "", "c d": "", "e f": "", "=": ""}
	tests := map[string]struct {
		change func(*clusterpb.ServiceSpec)
		want   string
	}{
		"times of a container": {func(s *clusterpb.ServiceSpec) {
			pod.Main(s.Task).StopGracePeriod, pod.Main(s.Task).DrainTimeout = bad, bad
		}, "stop grace period -1s"},
		"of a health check": {func(s *clusterpb.ServiceSpec) {
			pod.Main(s.Task).Health = &clusterpb.HealthCheck{Interval: bad, Timeout: bad, StartPeriod: bad, StartInterval: bad}
		}, "health interval -1s"},
		"of restarts": {func(s *clusterpb.ServiceSpec) {
			s.Task.Restart = &clusterpb.RestartPolicy{Delay: bad, MaxDelay: bad, Window: bad}
		}, "restart delay -1s"},
		"of an update":        {func(s *clusterpb.ServiceSpec) { s.Update = &clusterpb.UpdateConfig{Delay: bad, Monitor: bad} }, "update delay -1s"},
		"labels":              {func(s *clusterpb.ServiceSpec) { s.Labels = labels }, `service label "="`},
		"labels of container": {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Labels = labels }, `container label "="`},
		"sysctls":             {func(s *clusterpb.ServiceSpec) { s.Task.Sysctls = map[string]string{"a": "", "b": "", "c": ""} }, `sysctl "a"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for range 50 {
				s := valid()
				tt.change(s)
				if err := ValidateService(s); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
					t.Fatalf("refused by %v, want %s", err, tt.want)
				}
			}
		})
	}
	for range 50 {
		if err := ValidateNodeLabels(labels); err == nil || !strings.HasPrefix(err.Error(), `label "="`) {
			t.Fatalf("node labels: refused by %v", err)
		}
	}
}

func TestValidateService(t *testing.T) {
	tests := map[string]struct {
		change func(*clusterpb.ServiceSpec)
		want   string // a part of the message, empty when valid
	}{
		"plain":                   {func(*clusterpb.ServiceSpec) {}, ""},
		"no name":                 {func(s *clusterpb.ServiceSpec) { s.Name = "" }, `service name ""`},
		"a name with dots":        {func(s *clusterpb.ServiceSpec) { s.Name = "a.b" }, `service name "a.b"`},
		"a name with underscores": {func(s *clusterpb.ServiceSpec) { s.Name = "stack_web" }, ""},
		"a name too long":         {func(s *clusterpb.ServiceSpec) { s.Name = strings.Repeat("a", 64) }, "1 to 63"},
		"no image":                {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "" }, "no image"},
		"a bad image":             {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "NGINX:::" }, `image "NGINX:::"`},
		"no container":            {func(s *clusterpb.ServiceSpec) { s.Task.Containers = nil }, "the task has 0 containers: exactly 1 is allowed"},
		"two containers": {
			func(s *clusterpb.ServiceSpec) {
				s.Task.Containers = append(s.Task.Containers, &clusterpb.ContainerSpec{Image: "redis"})
			}, "the task has 2 containers: exactly 1 is allowed",
		},
		"a name server by name": {
			func(s *clusterpb.ServiceSpec) { s.Task.Dns = &clusterpb.DNSConfig{Servers: []string{"dns.example"}} }, `dns server "dns.example": use an IP address`,
		},
		"a host without an address": {func(s *clusterpb.ServiceSpec) { s.Task.Hosts = []string{"db db"} }, `host "db db": use an IP address, a space and a name`},
		"env without a name": {
			func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Env = []string{"=x"} }, `environment "=x"`,
		},
		"little memory": {
			func(s *clusterpb.ServiceSpec) { s.Task.Limits = &clusterpb.Resources{MemoryBytes: 1 << 20} }, "at least 4 MiB",
		},
		"little cpu": {
			func(s *clusterpb.ServiceSpec) { s.Task.Reservations = &clusterpb.Resources{NanoCpus: 10} }, "at least 0.001",
		},
		"a bad constraint": {
			func(s *clusterpb.ServiceSpec) {
				s.Task.Placement = &clusterpb.Placement{Constraints: []string{"node.rol==worker"}}
			}, "node.rol",
		},
		"a bad preference": {
			func(s *clusterpb.ServiceSpec) { s.Task.Placement = &clusterpb.Placement{Spread: []string{"zone"}} }, "zone",
		},
		"ratio above one": {
			func(s *clusterpb.ServiceSpec) { s.Update = &clusterpb.UpdateConfig{MaxFailureRatio: 1.5} }, "update max failure ratio 1.5",
		},
		"rolling back a rollback": {
			func(s *clusterpb.ServiceSpec) {
				s.Rollback = &clusterpb.UpdateConfig{FailureAction: clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK}
			}, "use pause or continue",
		},
		"port out of range": {
			func(s *clusterpb.ServiceSpec) { s.Ports = []*clusterpb.Port{published(8080, 70000)} }, "target port 70000",
		},
		"port twice": {
			func(s *clusterpb.ServiceSpec) { s.Ports = []*clusterpb.Port{published(80, 80), published(80, 81)} }, "port 80/tcp is published twice",
		},
		"two automatic ports": {
			func(s *clusterpb.ServiceSpec) { s.Ports = []*clusterpb.Port{published(0, 80), published(0, 81)} }, "",
		},
		"two health checks": {
			func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Health = &clusterpb.HealthCheck{Http: "80", Tcp: 80} }, "one health check",
		},
		"a negative grace": {
			func(s *clusterpb.ServiceSpec) {
				pod.Main(s.Task).StopGracePeriod = durationpb.New(-time.Second)
			}, "stop grace period -1s",
		},
		"a ratio that is no number": {
			func(s *clusterpb.ServiceSpec) { s.Update = &clusterpb.UpdateConfig{MaxFailureRatio: math.NaN()} }, "update max failure ratio NaN",
		},
		"more cores than any machine": {
			func(s *clusterpb.ServiceSpec) { s.Task.Limits = &clusterpb.Resources{NanoCpus: 100_000e9} }, "cpu limit 100000: at most 10000",
		},
		"more memory than any machine": {
			func(s *clusterpb.ServiceSpec) { s.Task.Limits = &clusterpb.Resources{MemoryBytes: 1 << 62} }, "at most 1 PiB",
		},
		"a word of another version": {
			func(s *clusterpb.ServiceSpec) {
				s.Ports = []*clusterpb.Port{{Target: 80, Published: 80, Protocol: 99, Mode: 1}}
			}, "protocol 99: this version knows",
		},
		"NUL in the environment": {
			func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Env = []string{"A=\x00"} }, `env "A=\x00": has a NUL character`,
		},
		"what processes may read": {
			func(s *clusterpb.ServiceSpec) {
				c := pod.Main(s.Task)
				c.Env, c.Args, c.Labels = []string{"PS1=\x1b[31m\n$"}, []string{"-c", "a\nb"}, map[string]string{"note": "two\nlines"}
			}, "",
		},
		"a line more for the hosts file, by the host name": {
			func(s *clusterpb.ServiceSpec) { s.Task.Hostname = "a\n192.0.2.1 bank" }, `hostname "a\n192.0.2.1 bank": use one line`,
		},
		"by a host":        {func(s *clusterpb.ServiceSpec) { s.Task.Hosts = []string{"192.0.2.1 a\n192.0.2.1 bank"} }, "hosts "},
		"by a second name": {func(s *clusterpb.ServiceSpec) { s.Task.Hosts = []string{"192.0.2.1 a bank"} }, `host "a bank"`},
		"a line more for resolv.conf": {
			func(s *clusterpb.ServiceSpec) {
				s.Task.Dns = &clusterpb.DNSConfig{Search: []string{"a\nnameserver 192.0.2.6"}}
			}, "search ",
		},
		"a word more": {
			func(s *clusterpb.ServiceSpec) { s.Task.Dns = &clusterpb.DNSConfig{Options: []string{"ndots:1 rotate"}} }, `dns option "ndots:1 rotate"`,
		},
		"a host name too long":    {func(s *clusterpb.ServiceSpec) { s.Task.Hostname = strings.Repeat("h", 64) }, "1 to 63 letters"},
		"a host name with spaces": {func(s *clusterpb.ServiceSpec) { s.Task.Hostname = "a b" }, `hostname "a b"`},
		"a host name with dots":   {func(s *clusterpb.ServiceSpec) { s.Task.Hostname = "db.example.com" }, ""},
		"a sysctl of the whole machine": {
			func(s *clusterpb.ServiceSpec) { s.Task.Sysctls = map[string]string{"kernel.panic": "1"} }, `sysctl "kernel.panic"`,
		},
		"sysctls of a container": {
			func(s *clusterpb.ServiceSpec) {
				s.Task.Sysctls = map[string]string{"net.core.somaxconn": "1", "kernel.shmmax": "1"}
			}, "",
		},
		"a label with a space": {
			func(s *clusterpb.ServiceSpec) { s.Labels = map[string]string{"x y": ""} }, `service label "x y"`,
		},
		"a container label with a line": {
			func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Labels = map[string]string{"a\nb": "1"} }, `labels "a\nb": use one line`,
		},
		"a signal that is none":    {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).StopSignal = "SIGNAL" }, `stop signal "SIGNAL"`},
		"a signal below all":       {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).StopSignal = "-9" }, `stop signal "-9": use`},
		"more pids than there are": {func(s *clusterpb.ServiceSpec) { s.Task.Limits = &clusterpb.Resources{Pids: 1<<22 + 1} }, "pids limit 4194305: use 0 for no limit, or 1 to 4194304"},
		"a signal above all":       {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).StopSignal = "9999" }, `stop signal "9999": use`},
		"the last signal":          {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).StopSignal = "64" }, ""},
		"a check elsewhere":        {checked(&clusterpb.HealthCheck{Http: "80@evil.example:90/x"}), `health http "80@evil.example:90/x": use PORT[/PATH]`},
		"a check of port 0":        {checked(&clusterpb.HealthCheck{Http: "0/x"}), `health http "0/x": use PORT[/PATH]`},
		"a check by name":          {checked(&clusterpb.HealthCheck{Http: "http/x"}), `health http "http/x": use PORT[/PATH]`},
		"a check of no URL":        {checked(&clusterpb.HealthCheck{Http: "80/%zz"}), `health http "80/%zz": use a path of a URL`},
		"a check with a host":      {checked(&clusterpb.HealthCheck{Http: "80/@evil.example?a=b"}), ""},
		"a check of nothing":       {checked(&clusterpb.HealthCheck{Test: []string{"CMD"}}), "health test CMD: a command has to follow"},
		"of no line":               {checked(&clusterpb.HealthCheck{Test: []string{"CMD-SHELL", ""}}), "health test CMD-SHELL: a command has to follow"},
		"signals":                  {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).StopSignal = "RTMIN+3" }, ""},
		"a capability that is none": {
			func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).CapAdd = []string{"cap_net admin"} }, `capability "cap_net admin"`,
		},
		"a capability that Linux does not have": {
			func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).CapDrop = []string{"CAP_CHOWN", "CAP_NOSUCH"} }, `capability "CAP_NOSUCH": Linux has none`,
		},
		"a capability by another name": {
			func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).CapAdd = []string{"net_admin"} }, `capability "net_admin": use the name CAP_NET_ADMIN`,
		},
		"capabilities":             {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).CapAdd = []string{"ALL", "CAP_BPF"} }, ""},
		"a ulimit that is none":    {ulimit("nosuch", 1, 1), `ulimit "nosuch": use one of core cpu`},
		"a ulimit above its limit": {ulimit("nofile", 2, 1), "ulimit nofile: the soft limit 2 must not be above the hard limit 1"},
		"unlimited above a limit":  {ulimit("nofile", -1, 1), "ulimit nofile: the soft limit -1"},
		"ulimits":                  {ulimit("core", 0, -1), ""},
		"a user of two lines":      {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).User = "a\nb" }, `user "a\nb"`},
		"a user and group":         {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).User = "www-data:33" }, ""},
		"more canaries than replicas": {
			func(s *clusterpb.ServiceSpec) { s.Update = &clusterpb.UpdateConfig{Canary: 4} }, "", // blue-green at any scale
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := valid()
			tt.change(s)
			err := ValidateService(s)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && err == nil:
				t.Errorf("accepted, want an error about %s", tt.want)
			case tt.want != "" && (!strings.Contains(err.Error(), tt.want) || !errdefs.IsInvalidArgument(err)):
				t.Errorf("error %q (invalid argument: %v), want one about %s", err, errdefs.IsInvalidArgument(err), tt.want)
			}
		})
	}
}

func published(number, target uint32) *clusterpb.Port {
	return &clusterpb.Port{
		Protocol: clusterpb.Port_PROTOCOL_TCP, Published: number, Target: target, Mode: clusterpb.Port_MODE_INGRESS,
	}
}

func TestDefaults(t *testing.T) {
	if got := DrainTimeout(&clusterpb.ContainerSpec{DrainTimeout: durationpb.New(0)}); got != 0 {
		t.Errorf("a drain timeout of 0 became %s", got)
	}
	if got := DrainTimeout(nil); got != DefaultDrainTimeout {
		t.Errorf("an unset drain timeout became %s", got)
	}
	if got := Parallelism(&clusterpb.UpdateConfig{Parallelism: new(uint32)}); got != 0 {
		t.Errorf("parallelism 0, which means all, became %d", got)
	}
	if got := Parallelism(&clusterpb.UpdateConfig{}); got != 1 {
		t.Errorf("unset parallelism became %d", got)
	}
	if got := RestartMaxDelay(&clusterpb.RestartPolicy{Delay: durationpb.New(time.Hour)}); got != time.Hour {
		t.Errorf("the longest delay %s is below the first of 1h", got)
	}
}

func TestValidateCluster(t *testing.T) {
	if err := ValidateCluster(&clusterpb.ClusterSpec{}); err != nil {
		t.Errorf("defaults refused: %v", err)
	}
	if err := ValidateCluster(&clusterpb.ClusterSpec{CertExpiry: durationpb.New(time.Minute)}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a certificate for a minute: %v", err)
	}
	if err := ValidateCluster(&clusterpb.ClusterSpec{HeartbeatPeriod: durationpb.New(time.Millisecond)}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a heartbeat of 1ms: %v", err)
	}
}

// TestTextsOfASpec: a terminal's orders are refused in every field of a spec
// that is not said to be free, those that come included.
func TestTextsOfASpec(t *testing.T) {
	const escape = "x\x1by"
	var fill func(m protoreflect.Message, path string)
	fill = func(m protoreflect.Message, path string) {
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			fd, at := fields.Get(i), path+"."+string(fields.Get(i).Name())
			whole := valid()
			switch {
			case fd.Kind() == protoreflect.MessageKind && !fd.IsMap() && strings.HasPrefix(string(fd.Message().FullName()), "cluster."):
				fill(dynamic(fd), at)
				continue
			case fd.Kind() == protoreflect.StringKind && fd.IsList():
				m.Mutable(fd).List().Append(protoreflect.ValueOfString(escape))
			case fd.Kind() == protoreflect.StringKind:
				m.Set(fd, protoreflect.ValueOfString(escape))
			case fd.IsMap() && fd.MapValue().Kind() == protoreflect.StringKind:
				m.Mutable(fd).Map().Set(protoreflect.ValueOfString(escape).MapKey(), protoreflect.ValueOfString("1"))
			default:
				continue
			}
			err := validateTexts(hold(whole, m))
			if refused := err != nil; refused == (free(fd) && !fd.IsMap()) {
				t.Errorf("%s with %q: %v", at, escape, err)
			}
			m.Clear(fd)
		}
	}
	fill((&clusterpb.ServiceSpec{}).ProtoReflect(), "")
}

// dynamic returns an empty message for a field.
func dynamic(fd protoreflect.FieldDescriptor) protoreflect.Message {
	mt, err := protoregistry.GlobalTypes.FindMessageByName(fd.Message().FullName())
	if err != nil {
		panic(err)
	}
	return mt.New()
}

// hold puts a message into a spec, where there is a place for its type.
func hold(s *clusterpb.ServiceSpec, m protoreflect.Message) *clusterpb.ServiceSpec {
	switch m := m.Interface().(type) {
	case *clusterpb.ServiceSpec:
		return m
	case *clusterpb.TaskSpec:
		s.Task = m
	case *clusterpb.ContainerSpec:
		s.Task.Containers[0] = m
	case *clusterpb.HealthCheck:
		s.Task.Containers[0].Health = m
	case *clusterpb.DNSConfig:
		s.Task.Dns = m
	case *clusterpb.Placement:
		s.Task.Placement = m
	case *clusterpb.Ulimit:
		s.Task.Containers[0].Ulimits = append(s.Task.Containers[0].Ulimits, m)
	default:
		panic(fmt.Sprintf("a spec has no place for %T: add it", m))
	}
	return s
}

func TestNodeLabels(t *testing.T) {
	for label, ok := range map[string]bool{
		"zone=a": true, "disk.type=ssd (fast)": true, "a=": true, "my zone=1": false, "a,b=1": false, "a\nb=1": false, "=1": false,
		"\x1b=1": false, "zone=\x1b": false, "zone=a\nb": false, "zone=ä": false,
	} {
		k, v, _ := strings.Cut(label, "=")
		if err := ValidateNode(&clusterpb.NodeSpec{Labels: map[string]string{k: v}}); (err == nil) != ok {
			t.Errorf("%q: %v", label, err)
		}
	}
}

func ulimit(name string, soft, hard int64) func(*clusterpb.ServiceSpec) {
	return func(s *clusterpb.ServiceSpec) {
		pod.Main(s.Task).Ulimits = []*clusterpb.Ulimit{{Name: name, Soft: soft, Hard: hard}}
	}
}

// checked gives the service a health check.
func checked(h *clusterpb.HealthCheck) func(*clusterpb.ServiceSpec) {
	return func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Health = h }
}
