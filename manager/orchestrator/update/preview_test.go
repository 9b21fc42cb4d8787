package update_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/manager/orchestrator/update"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/raftstore/storetest"
)

// TestPreview: what is foretold is what happens.
func TestPreview(t *testing.T) {
	replicas := func(n uint32) func(*clusterpb.Service) {
		return func(s *clusterpb.Service) {
			s.Spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: n}}
		}
	}
	tests := map[string]struct {
		change func(*clusterpb.Service)
		want   string
	}{
		"nothing":    {func(*clusterpb.Service) {}, "1 keep, 2 keep, 3 keep"},
		"labels":     {func(s *clusterpb.Service) { s.Spec.Labels = map[string]string{"a": "b"} }, "1 keep, 2 keep, 3 keep"},
		"image":      {func(s *clusterpb.Service) { pod.Main(s.Spec.Task).Image = "v2" }, "1 replace, 2 replace, 3 replace"},
		"restart":    {func(s *clusterpb.Service) { s.Restarts++ }, "1 replace, 2 replace, 3 replace"},
		"scale up":   {replicas(5), "1 keep, 2 keep, 3 keep, 4 create, 5 create"},
		"scale down": {replicas(1), "1 keep, 2 remove, 3 remove"},
		"both": {func(s *clusterpb.Service) {
			pod.Main(s.Spec.Task).Image = "v2"
			replicas(4)(s)
		}, "1 replace, 2 replace, 3 replace, 4 create"},
		"placement": {func(s *clusterpb.Service) {
			s.Spec.Task.Placement = &clusterpb.Placement{Constraints: []string{"node.id!=b"}}
		}, "1 keep, 2 replace, 3 keep"},
		"ports": {func(s *clusterpb.Service) {
			s.Spec.Ports = []*clusterpb.Port{{Target: 80, Published: 8080, Mode: clusterpb.Port_MODE_INGRESS}}
		}, "1 replace, 2 replace, 3 replace"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, 3, nil)
			svc := s.Service("web")
			next := proto.CloneOf(svc)
			tt.change(next)
			next.Ports = next.GetSpec().GetPorts()
			before := s.slots()

			var foretold []string
			for _, p := range update.Preview(svc, next, slices.Collect(s.State.TasksOf("web")), s.State.Node) {
				foretold = append(foretold, fmt.Sprint(p.GetSlot(), " ", p.GetAction()))
				if p.GetAction() != update.Create && before[p.GetSlot()] != p.GetTaskId() {
					t.Errorf("slot %d is said to have task %q, has %q", p.GetSlot(), p.GetTaskId(), before[p.GetSlot()])
				}
			}
			if got := strings.Join(foretold, ", "); got != tt.want {
				t.Errorf("foretold %s, want %s", got, tt.want)
			}

			s.Apply(storetest.PutService(next))
			s.run()
			if got := s.compare(before); got != tt.want {
				t.Errorf("what happened is %s, want %s", got, tt.want)
			}
		})
	}
}

// slots returns the serving task of each slot.
func (s *story) slots() map[uint32]string {
	out := make(map[uint32]string)
	for t := range s.State.TasksOf("web") {
		if s.ids()[t.GetId()] {
			out[t.GetSlot()] = t.GetId()
		}
	}
	return out
}

// compare says what became of slots.
func (s *story) compare(before map[uint32]string) string {
	after := s.slots()
	var out []string
	for n := uint32(1); n <= 10; n++ {
		was, is := before[n], after[n]
		switch {
		case was == "" && is == "":
		case was == "":
			out = append(out, fmt.Sprint(n, " create"))
		case is == "":
			out = append(out, fmt.Sprint(n, " remove"))
		case was == is:
			out = append(out, fmt.Sprint(n, " keep"))
		default:
			out = append(out, fmt.Sprint(n, " replace"))
		}
	}
	return strings.Join(out, ", ")
}
