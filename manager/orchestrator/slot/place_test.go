package slot

import (
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// nodes are "up", "down", "leaving" (drained), "stopping" (its machine is), "unseen"
// (its status is unknown) and "paused"; there is no other.
func nodes(id string) (*clusterpb.Node, bool) {
	all := map[string]*clusterpb.Node{
		"up":       {Status: &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_READY}},
		"down":     {Status: &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_DOWN}},
		"unseen":   {Status: &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_UNKNOWN}},
		"leaving":  {Spec: &clusterpb.NodeSpec{Availability: clusterpb.NodeSpec_AVAILABILITY_DRAIN}},
		"stopping": {},
		"paused":   {Spec: &clusterpb.NodeSpec{Availability: clusterpb.NodeSpec_AVAILABILITY_PAUSE}},
	}
	n, ok := all[id]
	if ok {
		n.Id, n.Description = id, &clusterpb.NodeDescription{Hostname: "node3", Stopping: id == "stopping"}
	}
	return n, ok
}

func TestWhyATaskLeavesItsNode(t *testing.T) {
	tests := map[string]struct{ node, lost, drained string }{
		"it has none":       {"", "", ""},
		"it works":          {"up", "", ""},
		"it is down":        {"down", "its node is down", ""},
		"it was removed":    {"gone", "its node was removed", ""},
		"it is drained":     {"leaving", "", "its node is being drained"},
		"it shuts down":     {"stopping", "", "its node shuts down"},
		"a pause moves not": {"paused", "", ""},
		// A new leader knows of no node at first, and must not move everything.
		"a leader has not heard of it yet": {"unseen", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			task := &clusterpb.Task{NodeId: tt.node}
			if got := Lost(task, nodes); got != tt.lost {
				t.Errorf("lost: %q, want %q", got, tt.lost)
			}
			if got := Drained(task, nodes); got != tt.drained {
				t.Errorf("drained: %q, want %q", got, tt.drained)
			}
		})
	}
}

func TestStopped(t *testing.T) {
	tests := map[string]struct {
		task string
		want bool
	}{
		"it runs":                       {"1:running@up", false},
		"asked to stop, it still runs":  {"1:running@up!", false},
		"its node is drained":           {"1:running@leaving", false},
		"it ended":                      {"1:failed@up", true},
		"it was shut down":              {"1:shutdown@up!", true},
		"it never got to a node":        {"1:pending", true},
		"its node is down":              {"1:running@down", true},
		"its node was removed":          {"1:running@gone", true},
		"prepared, it may have started": {"1:ready@up", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Stopped(parse(t, tt.task)[0], nodes); got != tt.want {
				t.Errorf("%t, want %t", got, tt.want)
			}
		})
	}
}

func TestFits(t *testing.T) {
	n := &clusterpb.Node{
		Spec: &clusterpb.NodeSpec{Labels: map[string]string{"zone": "x"}},
		Description: &clusterpb.NodeDescription{
			Platform: &clusterpb.Platform{Os: "linux", Architecture: "x86_64"},
		},
	}
	on := func(os, arch string) *clusterpb.Platform { return &clusterpb.Platform{Os: os, Architecture: arch} }
	exists := func(platforms ...*clusterpb.Platform) []*clusterpb.ResolvedImage {
		return []*clusterpb.ResolvedImage{{Image: "web", Platforms: platforms}}
	}
	tests := map[string]struct {
		constraints []string
		platforms   []*clusterpb.Platform
		want        bool
	}{
		"nothing is asked":              {nil, nil, true},
		"a constraint that is met":      {[]string{"node.labels.zone==x"}, nil, true},
		"one of two is not met":         {[]string{"node.labels.zone==x", "node.labels.zone!=x"}, nil, false},
		"one that does not parse":       {[]string{"node.labels.zone=?"}, nil, false},
		"its platform":                  {nil, []*clusterpb.Platform{on("linux", "amd64")}, true},
		"one of the platforms":          {nil, []*clusterpb.Platform{on("linux", "arm64"), on("linux", "amd64")}, true},
		"another architecture":          {nil, []*clusterpb.Platform{on("linux", "arm64")}, false},
		"another system":                {nil, []*clusterpb.Platform{on("windows", "amd64")}, false},
		"any architecture of a system":  {nil, []*clusterpb.Platform{on("linux", "")}, true},
		"any system":                    {nil, []*clusterpb.Platform{on("", "amd64")}, true},
		"constraint met, platform not":  {[]string{"node.labels.zone==x"}, []*clusterpb.Platform{on("linux", "arm64")}, false},
		"platform met, constraint not":  {[]string{"node.labels.zone==y"}, []*clusterpb.Platform{on("linux", "amd64")}, false},
		"halves of two platforms":       {nil, []*clusterpb.Platform{on("linux", "arm64"), on("windows", "amd64")}, false},
		"a system and its other writer": {nil, []*clusterpb.Platform{on("linux", "x86_64")}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Fits(&clusterpb.Placement{Constraints: tt.constraints}, exists(tt.platforms...), n); got != tt.want {
				t.Errorf("%t, want %t", got, tt.want)
			}
		})
	}
	if RunsOn(append(exists(on("linux", "amd64")), exists(on("linux", "arm64"))...), n) {
		t.Error("a node is taken for one that two images exist for, though one does not")
	}
	if !Fits(nil, nil, n) {
		t.Error("without a placement the node does not fit")
	}
	if RunsOn(exists(on("linux", "amd64")), &clusterpb.Node{}) {
		t.Error("a node that has not said its platform is taken for one of linux/amd64")
	}
}

// A task that ended without having been asked keeps the node it ran on: Lost
// is about nodes, whatever the task does.
func TestLostIsAboutTheNodeAlone(t *testing.T) {
	task := &clusterpb.Task{NodeId: "down", Status: &clusterpb.TaskStatus{State: lifecycle.Failed}}
	if Lost(task, nodes) == "" {
		t.Error("an ended task of a node that is down has lost nothing")
	}
}
