package spec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/internal/text"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/template"
)

// Expand returns the task with the templates of its hostname and environment
// filled in, or the task itself when it has none. The node's id is the task's.
// An invalid argument is a template that cannot be filled in, or a result that
// is no hostname; nothing of the environment is quoted but what is wrong in it.
func Expand(t *clusterpb.Task, node template.Node) (*clusterpb.Task, error) {
	if !hasTemplates(t.GetSpec()) {
		return t, nil
	}
	t = proto.CloneOf(t)
	e := template.New(valuesOf(t, node))
	var err error
	if t.Spec.Hostname, err = e.Expand(t.GetSpec().GetHostname()); err != nil {
		return nil, fmt.Errorf("hostname: %w", err)
	}
	if err := validateHostname(t.GetSpec().GetHostname()); err != nil {
		return nil, err
	}
	env := pod.Main(t.GetSpec()).GetEnv()
	for i, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if value, err = e.Expand(value); err != nil {
			return nil, &envError{i, err}
		}
		if env[i] = name + "=" + value; len(env[i]) > text.MaxWord {
			return nil, &envError{i, invalid("its template makes %d bytes, at most %d are allowed", len(env[i]), text.MaxWord)}
		}
	}
	return t, nil
}

// envError is about a variable, by its place: what tasks say must not tell of
// the environment, not even names.
type envError struct {
	at  int
	err error
}

func (e *envError) Error() string { return fmt.Sprintf("environment variable %d: %v", e.at+1, e.err) }
func (e *envError) Unwrap() error { return e.err }

// NamesLabels reports whether templates may ask for labels of the service.
func NamesLabels(t *clusterpb.TaskSpec) bool {
	return anyTemplate(t, func(s string) bool { return strings.Contains(s, ".Service.Labels") })
}

func hasTemplates(t *clusterpb.TaskSpec) bool { return anyTemplate(t, template.Has) }

// anyTemplate reports whether is holds for any text that can be a template.
func anyTemplate(t *clusterpb.TaskSpec, is func(string) bool) bool {
	return is(t.GetHostname()) || slices.ContainsFunc(pod.Main(t).GetEnv(), is)
}

func valuesOf(t *clusterpb.Task, node template.Node) template.Values {
	node.ID = t.GetNodeId()
	return template.Values{
		Service: template.Service{ID: t.GetServiceId(), Name: t.GetServiceName(), Labels: t.GetServiceLabels()},
		Node:    node,
		Task:    template.Task{ID: t.GetId(), Name: pod.Name(t), Slot: strconv.FormatUint(uint64(t.GetSlot()), 10)},
	}
}

// validateTemplates fills in the templates for a task that might be, so that
// what cannot be filled in is refused before there is one.
func validateTemplates(s *clusterpb.ServiceSpec) error {
	const id = "0123456789abcdefghijklmno"
	_, err := Expand(&clusterpb.Task{
		Id: id, ServiceId: id, NodeId: id, Slot: 1, ServiceName: s.GetName(), ServiceLabels: s.GetLabels(), Spec: s.GetTask(),
	}, template.Node{Hostname: "node", Platform: template.Platform{OS: "linux", Architecture: "x86_64"}})
	if of := (*envError)(nil); errors.As(err, &of) { // its author knows it by name
		name, _, _ := strings.Cut(pod.Main(s.GetTask()).GetEnv()[of.at], "=")
		return fmt.Errorf("environment variable %s: %w", text.Quote(name), of.err)
	}
	return err
}

// validateHostname refuses what no task can be called; none is the task's id.
func validateHostname(h string) error {
	if h == "" {
		return nil
	}
	return shape("hostname", hostname, maxHostname, "1 to 63 letters, digits, hyphens and dots", h)
}
