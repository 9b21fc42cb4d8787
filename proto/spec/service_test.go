package spec

import (
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
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

func TestValidateService(t *testing.T) {
	tests := map[string]struct {
		change func(*clusterpb.ServiceSpec)
		want   string // a part of the message, empty when valid
	}{
		"plain":            {func(*clusterpb.ServiceSpec) {}, ""},
		"no name":          {func(s *clusterpb.ServiceSpec) { s.Name = "" }, `service name ""`},
		"a name with dots": {func(s *clusterpb.ServiceSpec) { s.Name = "a.b" }, `service name "a.b"`},
		"a name too long":  {func(s *clusterpb.ServiceSpec) { s.Name = strings.Repeat("a", 64) }, "1 to 63"},
		"no image":         {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "" }, "no image"},
		"a bad image":      {func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "NGINX:::" }, `image "NGINX:::"`},
		"no container":     {func(s *clusterpb.ServiceSpec) { s.Task.Containers = nil }, "the task has 0 containers: exactly 1 is allowed"},
		"two containers": {
			func(s *clusterpb.ServiceSpec) {
				s.Task.Containers = append(s.Task.Containers, &clusterpb.ContainerSpec{Image: "redis"})
			}, "the task has 2 containers: exactly 1 is allowed",
		},
		"a name server by name": {
			func(s *clusterpb.ServiceSpec) { s.Task.Dns = &clusterpb.DNSConfig{Servers: []string{"dns.example"}} }, `address "dns.example"`,
		},
		"a host without an address": {func(s *clusterpb.ServiceSpec) { s.Task.Hosts = []string{"db db"} }, `address "db"`},
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
