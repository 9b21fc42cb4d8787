package slot

import (
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// A task is out of date when it differs from what its service asks now; the
// version alone says nothing.
func TestOutOfDate(t *testing.T) {
	zone := func(z string) *clusterpb.Placement {
		return &clusterpb.Placement{Constraints: []string{"node.labels.zone==" + z}}
	}
	in := func(z string) *clusterpb.Task {
		task := ofVersion(2)
		task.SpecVersion, task.NodeId, task.Spec.Placement = 1, "inX", zone(z)
		return task
	}
	changed := func(task *clusterpb.Task, f func(*clusterpb.Task)) *clusterpb.Task {
		f(task)
		return task
	}
	tests := map[string]struct {
		placement *clusterpb.Placement // what the service asks now
		task      *clusterpb.Task
		want      bool
	}{
		"of the present version":                 {nil, ofVersion(2), false},
		"of another, with another image":         {nil, ofVersion(1), true},
		"of another, but with the same content":  {nil, changed(ofVersion(2), func(t *clusterpb.Task) { t.SpecVersion = 1 }), false},
		"the same, of a later version":           {nil, changed(ofVersion(2), func(t *clusterpb.Task) { t.SpecVersion = 9 }), false},
		"other ports":                            {nil, changed(ofVersion(2), func(t *clusterpb.Task) { t.SpecVersion, t.Ports[0].Published = 1, 8080 }), true},
		"fewer ports":                            {nil, changed(ofVersion(2), func(t *clusterpb.Task) { t.SpecVersion, t.Ports = 1, nil }), true},
		"another placement that its node meets":  {zone("x"), in("y"), false},
		"another placement that its node misses": {zone("y"), in("x"), true},
		"the same placement":                     {zone("y"), in("y"), false}, // the enforcer's matter
		"another placement, and no node yet":     {zone("x"), changed(in("y"), func(t *clusterpb.Task) { t.NodeId = "" }), true},
		"another placement, and its node gone":   {zone("x"), changed(in("y"), func(t *clusterpb.Task) { t.NodeId = "gone" }), true},
		"another placement and another image":    {zone("x"), changed(in("y"), func(t *clusterpb.Task) { t.Spec.Containers[0].Image = "v1" }), true},
		"the tag moved":                          {nil, changed(ofVersion(2), func(t *clusterpb.Task) { t.SpecVersion, t.Images = 1, content("old") }), true},
		"of an earlier restart":                  {nil, changed(ofVersion(2), func(t *clusterpb.Task) { t.SpecVersion, t.Restarts = 1, 2 }), true},
		"a canary of an earlier rollout":         {nil, changed(ofVersion(2), func(t *clusterpb.Task) { t.SpecVersion, t.Canary = 1, true }), true},
		"a canary of this rollout":               {nil, changed(ofVersion(2), func(t *clusterpb.Task) { t.Canary = true }), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := web(nil, 0)
			svc.Spec.Task.Placement = tt.placement
			dates := NewDates(svc, func(id string) (*clusterpb.Node, bool) {
				return &clusterpb.Node{Spec: &clusterpb.NodeSpec{Labels: map[string]string{"zone": "x"}}}, id == "inX"
			})
			for range 2 { // the second time it is known
				if got := dates.OutOfDate(tt.task); got != tt.want {
					t.Errorf("%t, want %t", got, tt.want)
				}
			}
		})
	}
}

// What is known of one task of a version serves the next, but for its node.
func TestOutOfDateLooksAtEachTasksNode(t *testing.T) {
	svc := web(nil, 0)
	svc.Spec.Task.Placement = &clusterpb.Placement{Constraints: []string{"node.labels.zone==x"}}
	dates := NewDates(svc, func(id string) (*clusterpb.Node, bool) {
		return &clusterpb.Node{Spec: &clusterpb.NodeSpec{Labels: map[string]string{"zone": id}}}, true
	})
	for node, want := range map[string]bool{"x": false, "y": true} {
		task := ofVersion(2)
		task.SpecVersion, task.NodeId = 1, node
		if got := dates.OutOfDate(task); got != want {
			t.Errorf("on a node in %s: %t, want %t", node, got, want)
		}
	}
	if svc.GetSpec().GetTask().GetPlacement() == nil {
		t.Error("comparing took the service's placement away")
	}
}

func TestHostPorts(t *testing.T) {
	host, ingress := clusterpb.Port_MODE_HOST, clusterpb.Port_MODE_INGRESS
	tests := map[string]struct {
		ports []*clusterpb.Port
		want  bool
	}{
		"none":                        {nil, false},
		"in the mesh":                 {[]*clusterpb.Port{{Target: 80, Published: 8080, Mode: ingress}}, false},
		"one of two on the node":      {[]*clusterpb.Port{{Target: 80, Published: 8080, Mode: ingress}, {Target: 81, Published: 8081, Mode: host}}, true},
		"on the node, at any port":    {[]*clusterpb.Port{{Target: 80, Mode: host}}, false},
		"on the node, at a given one": {[]*clusterpb.Port{{Target: 80, Published: 80, Mode: host}}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := HostPorts(tt.ports); got != tt.want {
				t.Errorf("%t, want %t", got, tt.want)
			}
		})
	}
}
