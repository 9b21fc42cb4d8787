package spec

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/template"
)

func templated(hostname string, env ...string) *clusterpb.Task {
	return &clusterpb.Task{
		Id: "tid", ServiceId: "sid", ServiceName: "web", NodeId: "nid", Slot: 3, ServiceLabels: map[string]string{"tier": "front"},
		Spec: &clusterpb.TaskSpec{Hostname: hostname, Containers: []*clusterpb.ContainerSpec{{Image: "nginx", Env: env}}},
	}
}

func TestExpand(t *testing.T) {
	node := template.Node{Hostname: "alpha", Platform: template.Platform{OS: "linux", Architecture: "x86_64"}}
	task := templated("{{.Service.Name}}-{{.Task.Slot}}", "A={{.Node.Hostname}}={{.Node.ID}}", "B=plain", "C={{.Task.Name}}", "{{.X}}=1")
	before := proto.CloneOf(task)
	got, err := Expand(task, node)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"web-3", "A=alpha=nid", "B=plain", "C=web.3.tid", "{{.X}}=1"}
	if diff := cmp.Diff(want, append([]string{got.GetSpec().GetHostname()}, pod.Main(got.GetSpec()).GetEnv()...)); diff != "" {
		t.Error(diff)
	}
	if !proto.Equal(before, task) {
		t.Error("the task that others hold has changed")
	}
	for name, tt := range map[string]struct {
		task *clusterpb.Task
		want string
	}{
		"hostname of a node that is none":      {templated("{{.Node.Hostname}}"), `hostname "a b": use 1 to 63`},
		"hostname too long":                    {templated("{{.Task.Name}}-" + strings.Repeat("h", 60)), "use 1 to 63"},
		"a label that is gone, of no telling":  {templated("", "OK=1", "SECRET=hush{{.Service.Labels.no}}"), "environment variable 2: the service has no label no"},
		"a variable longer than the kernel's":  {templated("", "SECRET="+strings.Repeat("x", 128<<10-20)+"{{.Task.Name}}{{.Task.Name}}{{.Task.Name}}"), "environment variable 1: its template makes"},
		"the same as a program's own template": {templated("", "SECRET={{.Names}}"), "environment variable 1: there is no .Names"},
	} {
		_, err := Expand(tt.task, template.Node{Hostname: "a b"})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestTemplatesOfServices: what no task could fill in is refused with the service.
func TestTemplatesOfServices(t *testing.T) {
	tests := map[string]struct {
		hostname string
		env      string
		want     string
	}{
		"good":                       {"{{.Node.Hostname}}-{{.Task.Slot}}", "A={{.Service.Labels.tier}}", ""},
		"a bad hostname":             {"{{.Node.Hostname}} {{.Task.Slot}}", "A=", `hostname "node 1": use 1 to 63`},
		"an unknown field":           {"{{.Host}}", "A=", "hostname: there is no .Host"},
		"too long in any case":       {"{{.Task.Name}}." + strings.Repeat("h", 40), "A=", "use 1 to 63"},
		"a variable, by its name":    {"", "A={{.Service.Labels.none}}", `environment variable "A": the service has no label none`},
		"unfinished":                 {"", "A={{", `environment variable "A": unclosed action`},
		"of a program, Docker's way": {"", `A={{"{{"}}.Name}}`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := &clusterpb.ServiceSpec{
				Name: "web", Labels: map[string]string{"tier": "front"}, Task: templated(tt.hostname, tt.env).GetSpec(),
				Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 1}},
			}
			err := ValidateService(s)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestNamesLabels(t *testing.T) {
	for want, task := range map[bool]*clusterpb.Task{true: templated("", "A=1", "B={{ .Service.Labels.x }}"), false: templated("{{.Service.Name}}", "A=.Labels")} {
		if got := NamesLabels(task.GetSpec()); got != want {
			t.Errorf("%v: %v", task, got)
		}
	}
}
