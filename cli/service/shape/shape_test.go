package shape

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/cli/render"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update accepts it):\n%s", path, diff)
	}
}

// small is what most people have; everything sets every field.
func small() *clusterpb.Service {
	return &clusterpb.Service{
		Id: "0123456789abcdefghijklmno", Version: 7, SpecVersion: 7,
		CreatedAt: timestamppb.New(now.Add(-time.Hour)), UpdatedAt: timestamppb.New(now.Add(-time.Minute)),
		Spec: &clusterpb.ServiceSpec{
			Name: "web",
			Task: &clusterpb.TaskSpec{Container: &clusterpb.ContainerSpec{Image: "nginx:1.29"}},
			Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}},
		},
	}
}

func everything() *clusterpb.Service {
	s := small()
	second := durationpb.New(time.Second)
	parallelism := uint32(2)
	s.Spec = &clusterpb.ServiceSpec{
		Name: "web", Labels: map[string]string{"b": "2", "a": "1"},
		Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}},
		Task: &clusterpb.TaskSpec{
			Container: &clusterpb.ContainerSpec{
				Image: "nginx:1.29", Command: []string{"sh"}, Args: []string{"-c", "a && b"}, Env: []string{"A=1", "B=2"}, Dir: "/srv",
				User: "1000", Groups: []string{"video"}, Labels: map[string]string{"c": "3"}, Hostname: "h", Tty: true, ReadOnly: true,
				StopSignal: "SIGQUIT", StopGracePeriod: second, DrainTimeout: durationpb.New(0),
				Health: &clusterpb.HealthCheck{Http: "80/up", Interval: second, Timeout: second, StartPeriod: second, StartInterval: second, Retries: 3},
				Hosts:  []string{"192.0.2.1 db"}, Dns: &clusterpb.DNSConfig{Servers: []string{"192.0.2.2"}, Search: []string{"example.com"}, Options: []string{"ndots:2"}},
				CapAdd: []string{"CAP_NET_ADMIN"}, CapDrop: []string{"ALL"}, Sysctls: map[string]string{"net.core.somaxconn": "1"},
				Ulimits: []*clusterpb.Ulimit{{Name: "nofile", Soft: 1, Hard: 2}}, OomScoreAdj: 5, RegistryAuth: "never shown",
			},
			Limits:       &clusterpb.Resources{NanoCpus: 15e8, MemoryBytes: 64 << 20, Pids: 100},
			Reservations: &clusterpb.Resources{NanoCpus: 5e8, MemoryBytes: 32 << 20},
			Restart:      &clusterpb.RestartPolicy{Condition: clusterpb.RestartPolicy_CONDITION_ON_FAILURE, Delay: second, MaxDelay: second, MaxAttempts: 3, Window: second},
			Placement: &clusterpb.Placement{
				Constraints: []string{"node.role==worker"}, Spread: []string{"node.labels.zone"}, MaxPerNode: 2,
				Platforms: []*clusterpb.Platform{{Os: "linux", Architecture: "amd64"}},
			},
			ForceUpdate: 1,
		},
		Update: &clusterpb.UpdateConfig{
			Parallelism: &parallelism, Delay: second, Monitor: second, MaxFailureRatio: 0.5, Canary: 1, ProgressDeadline: second,
			FailureAction: clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK, Order: clusterpb.UpdateConfig_ORDER_START_FIRST,
		},
		Rollback: &clusterpb.UpdateConfig{},
		Ports: []*clusterpb.Port{
			{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80, Mode: clusterpb.Port_MODE_INGRESS},
			{Protocol: clusterpb.Port_PROTOCOL_UDP, Target: 53, Published: 53, Mode: clusterpb.Port_MODE_HOST},
		},
	}
	s.Ports = []*clusterpb.Port{
		{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80, Published: 30000, Mode: clusterpb.Port_MODE_INGRESS},
		{Protocol: clusterpb.Port_PROTOCOL_UDP, Target: 53, Published: 53, Mode: clusterpb.Port_MODE_HOST},
	}
	s.Update = &clusterpb.UpdateStatus{
		State: clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED, StartedAt: timestamppb.New(now.Add(-2 * time.Minute)), Message: "slot 2 failed",
		Progress: []*clusterpb.SlotUpdate{{Slot: 1}, {Slot: 2, Failed: true, Err: "exit 1"}},
	}
	s.History = []*clusterpb.SpecRecord{{Number: 1, Spec: small().GetSpec()}}
	return s
}

func TestPretty(t *testing.T) {
	for name, svc := range map[string]*clusterpb.Service{"small": small(), "everything": everything()} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			Pretty(&b, svc, now)
			golden(t, name+".pretty", b.String())
		})
	}
}

func TestInspect(t *testing.T) {
	for name, svc := range map[string]*clusterpb.Service{"small": small(), "everything": everything()} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := render.Inspect(&b, "", []any{Of(svc)}); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", b.String())
		})
	}
}

// TestTemplates has what Docker's users write.
func TestTemplates(t *testing.T) {
	tests := map[string]string{
		"{{.Spec.TaskTemplate.ContainerSpec.Image}}":                          "nginx:1.29",
		"{{.Spec.Mode.Replicated.Replicas}}":                                  "3",
		"{{.UpdateStatus.State}}":                                             "rollback_started",
		"{{range .Endpoint.Ports}}{{.PublishedPort}}:{{.TargetPort}} {{end}}": "30000:80 53:53 ",
		`{{index .Spec.Labels "a"}}`:                                          "1",
		"{{.Version.Index}}":                                                  "7",
		"{{.PreviousSpec.TaskTemplate.ContainerSpec.Image}}":                  "nginx:1.29",
		"{{json .Spec.UpdateConfig.Order}}":                                   `"start-first"`,
	}
	for format, want := range tests {
		var b strings.Builder
		if err := render.Inspect(&b, format, []any{Of(everything())}); err != nil || b.String() != want+"\n" {
			t.Errorf("%s = %q, %v, want %q", format, b.String(), err, want)
		}
	}
}

func TestRegistryAuthIsNotShown(t *testing.T) {
	var b strings.Builder
	if err := render.Inspect(&b, "", []any{Of(everything())}); err != nil {
		t.Fatal(err)
	}
	Pretty(&b, everything(), now)
	if strings.Contains(b.String(), "never shown") {
		t.Error("a registry login is shown")
	}
}

func TestDiff(t *testing.T) {
	if got := Diff(everything().GetSpec(), everything().GetSpec()); len(got) > 0 {
		t.Errorf("Diff of the same = %+v", got)
	}
	next := everything().GetSpec()
	next.Labels = map[string]string{"a": "9"}
	next.Task.Container.StopGracePeriod = nil
	next.Task.Container.Args = []string{"x"}
	next.Ports = next.Ports[:1]
	want := []Change{
		{"EndpointSpec.Ports", "[80/tcp *:53->53/udp (host)]", "[80/tcp]"},
		{"Labels.a", `"1"`, `"9"`},
		{"Labels.b", `"2"`, ""},
		{"TaskTemplate.ContainerSpec.Args", `["-c" "a && b"]`, `["x"]`},
		{"TaskTemplate.ContainerSpec.StopGracePeriod", "1s", ""},
	}
	if diff := cmp.Diff(want, Diff(everything().GetSpec(), next)); diff != "" {
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
