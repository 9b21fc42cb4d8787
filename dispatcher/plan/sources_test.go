package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

const (
	digest1 = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	digest2 = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// holds returns a ready node with images, written NAME=DIGEST.
func holds(id string, images ...string) *clusterpb.Node {
	n := &clusterpb.Node{
		Id: id, Status: &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_READY},
		Description: &clusterpb.NodeDescription{ControlAddr: id + ":2377"},
	}
	for _, img := range images {
		name, digest, _ := strings.Cut(img, "=")
		n.Images = append(n.Images, &clusterpb.NodeImage{Name: name, Digest: digest})
	}
	return n
}

// TestLookup says where node n1 is told to fetch an image from.
func TestLookup(t *testing.T) {
	const web, db = "docker.io/library/web:latest", "docker.io/library/db:1"
	away := holds("n4", web+"="+digest1)
	away.Status.State = clusterpb.NodeStatus_STATE_DISCONNECTED
	unknown := holds("n5", web+"="+digest1)
	unknown.Description.ControlAddr = ""
	tests := map[string]struct {
		ref   string
		nodes []*clusterpb.Node
		want  string // DIGEST's first figure and the nodes
	}{
		"nobody has it":             {"web", []*clusterpb.Node{holds("n2", db+"="+digest1)}, ""},
		"by its short name":         {"web", []*clusterpb.Node{holds("n2", web+"="+digest1)}, "1 n2"},
		"by its full name":          {web, []*clusterpb.Node{holds("n2", web+"="+digest1)}, "1 n2"},
		"another tag":               {"web:2", []*clusterpb.Node{holds("n2", web+"="+digest1)}, ""},
		"by digest":                 {"web@" + digest1, []*clusterpb.Node{holds("n2", web+"="+digest1), holds("n3", web+"="+digest2)}, "1 n2"},
		"by digest, whatever name":  {"web:9@" + digest1, []*clusterpb.Node{holds("n2", db+"="+digest1)}, "1 n2"},
		"the node itself is none":   {"web", []*clusterpb.Node{holds("n1", web+"="+digest1)}, ""},
		"twice on one node":         {"web@" + digest1, []*clusterpb.Node{holds("n2", web+"="+digest1, db+"="+digest1)}, "1 n2"},
		"what most have":            {"web", []*clusterpb.Node{holds("n2", web+"="+digest1), holds("n3", web+"="+digest2), holds("n6", web+"="+digest2)}, "2 n3 n6"},
		"as many have each":         {"web", []*clusterpb.Node{holds("n2", web+"="+digest2), holds("n3", web+"="+digest1)}, "1 n3"},
		"nodes that do not answer":  {"web", []*clusterpb.Node{away, unknown}, ""},
		"a name that means nothing": {"WEB", []*clusterpb.Node{holds("n2", "WEB="+digest1)}, "1 n2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if src := newSources(slices.Values(tt.nodes)).lookup("n1", tt.ref); src != nil {
				var on []string
				for _, addr := range src.GetAddrs() {
					on = append(on, strings.TrimSuffix(addr, ":2377"))
				}
				slices.Sort(on)
				got = strings.TrimPrefix(src.GetDigest(), "sha256:")[:1] + " " + strings.Join(on, " ")
				if src.GetImage() != tt.ref {
					t.Errorf("source of %q, want it called as the spec does, %q", src.GetImage(), tt.ref)
				}
			}
			if got != tt.want {
				t.Errorf("sources %q, want %q", got, tt.want)
			}
		})
	}
}

// TestLookupSpreads: many hold the image, many want it, and each asks a few in
// an order of its own.
func TestLookupSpreads(t *testing.T) {
	var nodes []*clusterpb.Node
	for i := range 20 {
		nodes = append(nodes, holds(fmt.Sprint("holder", i), "docker.io/library/web:latest="+digest1))
	}
	s := newSources(slices.Values(nodes))
	first := make(map[string]int)
	for i := range 200 {
		addrs := s.lookup(fmt.Sprint("node", i), "web").GetAddrs()
		if len(addrs) != maxSources {
			t.Fatalf("%d sources, want %d", len(addrs), maxSources)
		}
		if again := s.lookup(fmt.Sprint("node", i), "web").GetAddrs(); !slices.Equal(addrs, again) {
			t.Fatalf("sources %v, then %v", addrs, again)
		}
		first[addrs[0]]++
	}
	for addr, n := range first {
		if n > 40 {
			t.Errorf("%d of 200 nodes ask %s first", n, addr)
		}
	}
	if len(first) < 15 {
		t.Errorf("only %d of 20 nodes are asked first by any of 200", len(first))
	}
}

// TestSourcesOfTasks: only what still needs its images has sources, one for
// each image.
func TestSourcesOfTasks(t *testing.T) {
	s := newSources(slices.Values([]*clusterpb.Node{
		holds("n2", "docker.io/library/web:latest="+digest1, "docker.io/library/log:latest="+digest2),
	}))
	task := func(state, desired clusterpb.TaskState, images ...string) *clusterpb.Task {
		spec := &clusterpb.TaskSpec{}
		for _, img := range images {
			spec.Containers = append(spec.Containers, &clusterpb.ContainerSpec{Image: img})
		}
		return &clusterpb.Task{Spec: spec, Desired: desired, Status: &clusterpb.TaskStatus{State: state}}
	}
	tests := map[string]struct {
		task *clusterpb.Task
		want string
	}{
		"assigned":            {task(lifecycle.Assigned, lifecycle.Running, "web"), "web"},
		"preparing":           {task(lifecycle.Preparing, lifecycle.Running, "web"), "web"},
		"prepared":            {task(lifecycle.Ready, lifecycle.Running, "web"), ""},
		"not wanted any more": {task(lifecycle.Preparing, lifecycle.Shutdown, "web"), ""},
		"an image nobody has": {task(lifecycle.Assigned, lifecycle.Running, "db"), ""},
		"several containers":  {task(lifecycle.Assigned, lifecycle.Running, "web", "db", "log"), "web log"},
		"two of the same":     {task(lifecycle.Assigned, lifecycle.Running, "web", "web"), "web"},
		"without a container": {task(lifecycle.Assigned, lifecycle.Running), ""},
		"never observed at all": {&clusterpb.Task{
			Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "web"}}},
		}, "web"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, src := range s.of("n1", map[string]*clusterpb.Task{"t": tt.task})["t"] {
				got = append(got, src.GetImage())
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("sources of %q, want %q", g, tt.want)
			}
		})
	}
}
