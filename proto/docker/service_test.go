package docker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/swarm"

	"github.com/muster/muster/internal/goldentest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/docker"
	"github.com/muster/muster/proto/docker/dockertest"
)

// marshal is v as the Engine API sends it.
func marshal(t *testing.T, v any) string {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	if err := e.Encode([]any{v}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestServiceAsJSON(t *testing.T) {
	for name, svc := range map[string]*clusterpb.Service{"small": dockertest.Small(), "everything": dockertest.Everything()} {
		t.Run(name, func(t *testing.T) {
			got := marshal(t, docker.ServiceOf(svc))
			goldentest.Compare(t, name+".json", got)
			if strings.Contains(got, "never shown") {
				t.Error("a registry login is shown")
			}
		})
	}
}

// TestDockerReadsIt: what Docker's own type makes of the JSON is the same, but
// for what muster has beyond.
func TestDockerReadsIt(t *testing.T) {
	var list []swarm.Service
	if err := json.Unmarshal([]byte(marshal(t, docker.ServiceOf(dockertest.Everything()))), &list); err != nil {
		t.Fatal(err)
	}
	got := list[0]
	want := docker.ServiceOf(dockertest.Everything())
	c := got.Spec.TaskTemplate.ContainerSpec
	if c.Image != "nginx:1.29@sha256:"+strings.Repeat("c", 64) || c.Healthcheck.Interval != time.Second || c.DNSConfig.Nameservers[0].String() != "192.0.2.2" || c.Ulimits[0].Hard != 2 {
		t.Errorf("container = %+v", c)
	}
	if got.Meta != want.Meta || got.Spec.UpdateConfig.Monitor != time.Second || *got.Spec.TaskTemplate.RestartPolicy.MaxAttempts != 3 {
		t.Errorf("service = %+v", got)
	}
	if diff := cmp.Diff(want.Endpoint, got.Endpoint); diff != "" {
		t.Errorf("endpoint (-want +got):\n%s", diff)
	}
}

// TestTemplates has what Docker's users write.
func TestTemplates(t *testing.T) {
	tests := map[string]string{
		"{{.Spec.TaskTemplate.ContainerSpec.Image}}":                          "nginx:1.29@sha256:" + strings.Repeat("c", 64),
		"{{.Spec.Mode.Replicated.Replicas}}":                                  "3",
		"{{.UpdateStatus.State}}":                                             "rollback_started",
		"{{range .Endpoint.Ports}}{{.PublishedPort}}:{{.TargetPort}} {{end}}": "30000:80 53:53 ",
		`{{index .Spec.Labels "a"}}`:                                          "1",
		"{{.Version.Index}}":                                                  "7",
		"{{.PreviousSpec.TaskTemplate.ContainerSpec.Image}}":                  "nginx:1.29",
		"{{.Spec.UpdateConfig.Order}}":                                        "start-first",
		"{{.Spec.UpdateConfig.Canary}}":                                       "1",
		"{{.Spec.TaskTemplate.ContainerSpec.DrainTimeout}}":                   "0s",
		"{{.Spec.TaskTemplate.RestartPolicy.MaxDelay}}":                       "1s",
	}
	for format, want := range tests {
		var b strings.Builder
		parsed := template.Must(template.New("").Parse(format))
		if err := parsed.Execute(&b, docker.ServiceOf(dockertest.Everything())); err != nil || b.String() != want {
			t.Errorf("%s = %q, %v, want %q", format, b.String(), err, want)
		}
	}
}

func TestNodeAsJSON(t *testing.T) {
	got := marshal(t, docker.NodeOf(dockertest.Node()))
	goldentest.Compare(t, "node.json", got)
	var list []swarm.Node
	if err := json.Unmarshal([]byte(got), &list); err != nil {
		t.Fatal(err)
	}
	n := list[0]
	if n.Description.Hostname != "alpha" || n.Description.Engine.EngineVersion != "1.0" || n.Status.State != swarm.NodeStateReady ||
		!n.ManagerStatus.Leader || n.Spec.Role != swarm.NodeRoleManager {
		t.Errorf("what Docker reads is %+v", n)
	}
}
