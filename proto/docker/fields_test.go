package docker_test

import (
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/moby/moby/api/types/swarm"

	"github.com/muster/muster/proto/docker"
	"github.com/muster/muster/proto/docker/dockertest"
)

// missing lists the fields of Docker's type that a template cannot name in ours.
func missing(path string, theirs, ours reflect.Type) (paths []string) {
	for theirs.Kind() == reflect.Pointer {
		theirs = theirs.Elem()
	}
	for ours.Kind() == reflect.Pointer {
		ours = ours.Elem()
	}
	if theirs == ours || theirs.Kind() != reflect.Struct {
		return nil
	}
	for f := range theirs.Fields() {
		at := path + "." + f.Name
		if own, ok := ours.FieldByName(f.Name); ok {
			paths = append(paths, missing(at, f.Type, own.Type)...)
		} else {
			paths = append(paths, at)
		}
	}
	return paths
}

// TestFieldsOfDocker: whatever field Docker's users write in a template is one
// of ours, if only an empty one.
func TestFieldsOfDocker(t *testing.T) {
	for _, pair := range [][2]any{{swarm.Service{}, docker.Service{}}, {swarm.Node{}, docker.Node{}}} {
		theirs := reflect.TypeOf(pair[0])
		if m := missing("", theirs, reflect.TypeOf(pair[1])); len(m) > 0 {
			t.Errorf("%s lacks %s", theirs, strings.Join(m, ", "))
		}
	}
}

// TestTemplatesOfTheUnset: what Docker always fills in can be read of a service
// that asks for nothing.
func TestTemplatesOfTheUnset(t *testing.T) {
	for format, want := range map[string]string{
		"{{.Spec.TaskTemplate.Resources.Limits.MemoryBytes}}":          "0",
		"{{.Spec.TaskTemplate.Resources.Reservations.NanoCPUs}}":       "0",
		"{{range .Spec.TaskTemplate.Placement.Constraints}}x{{end}}":   "",
		"{{.Spec.TaskTemplate.Placement.MaxReplicas}}":                 "0",
		"{{.Spec.TaskTemplate.RestartPolicy.Condition}}":               "any",
		"{{.Spec.TaskTemplate.Runtime}}":                               "container",
		"{{range .Spec.TaskTemplate.Networks}}{{.Target}}{{end}}":      "",
		"{{with .Spec.TaskTemplate.LogDriver}}{{.Name}}{{end}}":        "",
		"{{.Spec.TaskTemplate.ContainerSpec.Isolation}}":               "default",
		"{{.Spec.TaskTemplate.ContainerSpec.DrainTimeout}}":            "10s",
		"{{.Spec.UpdateConfig.Parallelism}}":                           "1",
		"{{.Spec.RollbackConfig.Order}}":                               "stop-first",
		"{{.Spec.EndpointSpec.Mode}}":                                  "vip",
		"{{range .Endpoint.VirtualIPs}}{{.Addr}}{{end}}":               "",
		"{{with .UpdateStatus}}{{.State}}{{end}}":                      "",
		"{{if .ServiceStatus}}x{{end}}{{if .JobStatus}}x{{end}}":       "",
		"{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}x{{end}}":   "",
		"{{with .Spec.Mode.Global}}global{{else}}replicated{{end}}":    "replicated",
		"{{with .Spec.TaskTemplate.ContainerSpec.Privileges}}x{{end}}": "",
	} {
		var b strings.Builder
		parsed := template.Must(template.New("").Parse(format))
		if err := parsed.Execute(&b, docker.ServiceOf(dockertest.Small())); err != nil || b.String() != want {
			t.Errorf("%s = %q, %v, want %q", format, b.String(), err, want)
		}
	}
}
