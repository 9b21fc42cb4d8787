package plan

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// has returns the change by which a node tells its images, each written
// NAME=DIGEST and how it came: loaded, a copy of what was loaded, or pulled.
func has(id string, images ...string) *raftpb.Change {
	list := &raftpb.NodeImages{}
	for _, img := range images {
		what, how, _ := strings.Cut(img, " ")
		name, digest, _ := strings.Cut(what, "=")
		i := &clusterpb.NodeImage{Name: name, Digest: digest, Loaded: how != "pulled"}
		if how == "loaded" {
			i.TaggedAt = 7
		}
		list.Images = append(list.Images, i)
	}
	return state.ObserveNode(&raftpb.ObserveNode{Id: id, Images: list})
}

func machine(id, architecture string) *raftpb.Change {
	return state.ObserveNode(&raftpb.ObserveNode{Id: id, Description: &clusterpb.NodeDescription{
		Hostname: id, DataAddr: "192.0.2.1", ControlAddr: id + ":2377", Platform: &clusterpb.Platform{Os: "linux", Architecture: architecture},
	}})
}

func service(id, digest string, history ...string) *clusterpb.Service {
	spec := &clusterpb.ServiceSpec{Name: id, Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "web:1"}}}}
	svc := &clusterpb.Service{Id: id, Spec: spec, Images: []*clusterpb.ResolvedImage{{Image: "web:1", Pinned: "web:1@" + digest}}}
	for _, old := range history {
		svc.History = append(svc.History, &clusterpb.SpecRecord{
			Spec: spec, Images: []*clusterpb.ResolvedImage{{Image: "web:1", Pinned: "web:1@" + old}},
		})
	}
	return svc
}

// TestUpkeep says which images each node is told to fetch and keep.
func TestUpkeep(t *testing.T) {
	const (
		tag  = "docker.io/library/web:1"
		one  = tag + "=" + digest1
		kept = "docker.io/library/web@" + digest1 + "=" + digest1
	)
	down, away := clusterpb.NodeStatus_STATE_DOWN, clusterpb.NodeStatus_STATE_DISCONNECTED
	tests := map[string]struct {
		changes []*raftpb.Change
		named   []string // digests a service names
		want    string   // NODE+ for one that should fetch, NODE= for one that keeps
	}{
		"nothing":                            {},
		"loaded on one node":                 {[]*raftpb.Change{has("n1", one+" loaded")}, nil, "n3+"},
		"and copied":                         {[]*raftpb.Change{has("n1", one+" loaded"), has("n2", one+" copy")}, nil, "n2="},
		"its node is down":                   {[]*raftpb.Change{has("n1", one+" loaded"), has("n2", one+" copy"), nodeIs("n1", down)}, nil, "n2= n3+"},
		"its node restarts":                  {[]*raftpb.Change{has("n1", one+" loaded"), has("n2", one+" copy"), nodeIs("n1", away)}, nil, "n2="},
		"only node is away":                  {[]*raftpb.Change{has("n1", one+" loaded"), nodeIs("n1", away)}, nil, ""},
		"a copy nobody names":                {[]*raftpb.Change{has("n2", one+" copy")}, nil, ""},
		"a copy that a service names":        {[]*raftpb.Change{has("n2", one+" copy")}, []string{digest1}, "n1+ n2="},
		"what a tag stood for":               {[]*raftpb.Change{has("n1", kept+" copy")}, []string{digest1}, "n1= n3+"},
		"loaded twice":                       {[]*raftpb.Change{has("n1", one+" loaded"), has("n2", one+" loaded")}, nil, "n1= n2="},
		"pulled, and a service names it":     {[]*raftpb.Change{has("n1", one+" pulled")}, []string{digest1}, "n1="},
		"pulled, and nobody names it":        {[]*raftpb.Change{has("n1", one+" pulled")}, nil, ""},
		"named by its tag":                   {[]*raftpb.Change{has("n1", one+" pulled")}, []string{""}, "n1="},
		"no other machine like it":           {[]*raftpb.Change{has("n1", one+" loaded"), machine("n2", "arm64"), machine("n3", "arm64")}, nil, ""},
		"one other machine like it":          {[]*raftpb.Change{has("n1", one+" loaded"), machine("n2", "arm64")}, nil, "n3+"},
		"a node that is not well is no help": {[]*raftpb.Change{has("n1", one+" loaded"), nodeIs("n2", clusterpb.NodeStatus_STATE_UNWELL)}, nil, "n3+"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, slices.Concat(addNode("n1"), addNode("n2"), addNode("n3"), []*raftpb.Change{machine("n1", "amd64"), machine("n2", "amd64"), machine("n3", "amd64")}, tt.changes)...)
			n := &named{count: map[string]int{}}
			for _, digest := range tt.named {
				if n.count[digest]++; digest == "" {
					n.count[tag]++
				}
			}
			u := (*upkeep)(nil).next(w.st, n)
			var got []string
			for _, id := range []string{"n1", "n2", "n3"} {
				for _, f := range u.of(id).GetFetch() {
					got = append(got, id+"+")
					if f.GetDigest() != digest1 || !strings.HasSuffix(f.GetImage(), "@"+digest1) || len(f.GetAddrs()) == 0 || !f.GetLoaded() {
						t.Errorf("%s is told to fetch %v", id, f)
					}
				}
				if len(u.of(id).GetKeep()) > 0 {
					got = append(got, id+"=")
				}
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("%q, want %q", g, tt.want)
			}
			if again := u.next(w.st, n); again != u {
				t.Error("the same state gives another upkeep")
			}
		})
	}
}

// TestUpkeepIsBounded: many images at once are fetched some at a time.
func TestUpkeepIsBounded(t *testing.T) {
	var list []string
	for i := range 100 {
		list = append(list, fmt.Sprintf("docker.io/library/web:%d=sha256:%064d loaded", i, i))
	}
	w := newWorld(t, slices.Concat(addNode("n1"), addNode("n2"), []*raftpb.Change{machine("n1", "amd64"), machine("n2", "amd64"), has("n1", list...)})...)
	if n := len((*upkeep)(nil).next(w.st, &named{}).of("n2").GetFetch()); n != maxFetches {
		t.Errorf("%d at a time, want %d", n, maxFetches)
	}
}

// services is a view of nothing but services.
type services struct {
	View
	byID map[string]*clusterpb.Service
}

func (s services) Service(id string) (*clusterpb.Service, bool) {
	svc, ok := s.byID[id]
	return svc, ok
}

func (s services) Services() iter.Seq[*clusterpb.Service] { return maps.Values(s.byID) }

// TestNamed follows what services and their histories name.
func TestNamed(t *testing.T) {
	w := newWorld(t)
	v := services{View: w.st, byID: map[string]*clusterpb.Service{"a": service("a", digest2, digest1), "b": service("b", digest1)}}
	changed := func(ids ...string) map[string]struct{} {
		set := make(map[string]struct{})
		for _, id := range ids {
			set[id] = struct{}{}
		}
		return set
	}
	n := (&named{}).next(v, changed("a", "b"))
	if !n.has("", digest1) || !n.has("", digest2) {
		t.Errorf("named %v", n.count)
	}
	if n.next(v, changed("a", "b")) != n {
		t.Error("nothing changed, and what is named is another")
	}
	v.byID["a"] = service("a", digest2) // the history is forgotten
	n = n.next(v, changed("a"))
	if !n.has("", digest1) || !n.has("", digest2) {
		t.Errorf("named %v, want what b still names", n.count)
	}
	delete(v.byID, "b")
	if n = n.next(v, changed("b")); n.has("", digest1) || len(n.byService) != 1 {
		t.Errorf("named %v", n.count)
	}
}

// TestImageOrdersAreSent to the nodes whose orders changed, and to no other.
func TestImageOrdersAreSent(t *testing.T) {
	w := newWorld(t, slices.Concat(addNode("n1"), addNode("n2"))...)
	for _, id := range []string{"n1", "n2"} {
		if a := w.send(id); a.GetImageOrders() == nil {
			t.Errorf("%s: a full set without orders: %v", id, a)
		}
	}
	w.apply(has("n1", "docker.io/library/web:1="+digest1+" loaded"))
	if !w.step.All {
		t.Error("the nodes need not look")
	}
	if a := w.send("n2"); len(a.GetImageOrders().GetFetch()) != 1 {
		t.Errorf("n2 is sent %v, want it told to fetch the image", a)
	}
	if a := w.send("n1"); a != nil {
		t.Errorf("n1 is sent %v", a)
	}
	w.apply(has("n2", "docker.io/library/web:1="+digest1+" copy"))
	if a := w.send("n2"); a.GetImageOrders() == nil || len(a.GetImageOrders().GetFetch()) != 0 || len(a.GetImageOrders().GetKeep()) != 1 {
		t.Errorf("n2 is sent %v, want it told to keep what it fetched", a)
	}
}
