package text

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/muster/muster/internal/goldentest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/docker"
	"github.com/muster/muster/proto/docker/dockertest"
	"github.com/muster/muster/proto/pod"
)

func TestPretty(t *testing.T) {
	for name, svc := range map[string]*clusterpb.Service{"small": dockertest.Small(), "everything": dockertest.Everything()} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			Pretty(&b, svc, dockertest.Now())
			goldentest.Compare(t, name+".pretty", b.String())
		})
	}
}

func TestPrettyPorts(t *testing.T) {
	svc := &clusterpb.Service{Spec: &clusterpb.ServiceSpec{Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{}}}}}
	for i := range uint32(2001) {
		svc.Ports = append(svc.Ports, &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80 + i, Published: 8000 + i, Mode: clusterpb.Port_MODE_INGRESS})
	}
	var b strings.Builder
	Pretty(&b, svc, dockertest.Now())
	if want := "Ports:\n *:8000-10000->80-2080/tcp\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("%s\nwant %s at its end", b.String(), want)
	}
}

func TestRegistryAuthIsNotShown(t *testing.T) {
	var b strings.Builder
	Pretty(&b, dockertest.Everything(), dockertest.Now())
	if strings.Contains(b.String(), "never shown") {
		t.Error("a registry login is shown")
	}
}

func TestDiff(t *testing.T) {
	before := docker.ServiceOf(dockertest.Everything()).Spec
	if got := Diff(before, before); len(got) > 0 {
		t.Errorf("Diff of the same = %+v", got)
	}
	svc := dockertest.Everything()
	svc.Images[0].Pinned = "nginx:1.29@sha256:" + strings.Repeat("d", 64)
	next := svc.GetSpec()
	next.Labels = map[string]string{"a": "9"}
	pod.Main(next.Task).StopGracePeriod = nil
	pod.Main(next.Task).Args = []string{"x"}
	next.Ports = next.Ports[:1]
	want := []Change{
		{"EndpointSpec.Ports", "[80/tcp *:53->53/udp (host)]", "[80/tcp]"},
		{"Labels.a", `"1"`, `"9"`},
		{"Labels.b", `"2"`, ""},
		{"TaskTemplate.ContainerSpec.Args", `["-c" "a && b"]`, `["x"]`},
		{
			"TaskTemplate.ContainerSpec.Image",
			"nginx:1.29@sha256:" + strings.Repeat("c", 64), "nginx:1.29@sha256:" + strings.Repeat("d", 64),
		},
		{"TaskTemplate.ContainerSpec.StopGracePeriod", "1s", "10s"},
	}
	if diff := cmp.Diff(want, Diff(before, docker.ServiceOf(svc).Spec)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestPorts(t *testing.T) {
	port := func(published, target uint32) *clusterpb.Port {
		return &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: target, Published: published, Mode: clusterpb.Port_MODE_INGRESS}
	}
	host := port(80, 80)
	host.Mode = clusterpb.Port_MODE_HOST
	tests := map[string]struct {
		ports []*clusterpb.Port
		want  string
	}{
		"none":          {nil, ""},
		"one":           {[]*clusterpb.Port{port(8111, 80)}, "*:8111->80/tcp"},
		"run":           {[]*clusterpb.Port{port(8000, 80), port(8001, 81), port(8002, 82)}, "*:8000-8002->80-82/tcp"},
		"run and other": {[]*clusterpb.Port{port(8000, 80), port(8001, 81), port(9000, 82)}, "*:8000-8001->80-81/tcp, *:9000->82/tcp"},
		"host":          {[]*clusterpb.Port{host}, "*:80->80/tcp (host)"},
		"not given yet": {[]*clusterpb.Port{port(0, 80), port(0, 81)}, "80/tcp, 81/tcp"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Ports(tt.ports); got != tt.want {
				t.Errorf("Ports = %q, want %q", got, tt.want)
			}
		})
	}
}
