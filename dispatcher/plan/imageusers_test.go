package plan

import (
	"slices"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

// TestImageUsers says which services an image has to stay for.
func TestImageUsers(t *testing.T) {
	const web = "docker.io/library/web:1"
	unpinned := service("u", digest2)
	unpinned.Images = nil
	b, a := service("b", digest1), service("a", digest2, digest1)
	v := services{View: newWorld(t).st, byID: map[string]*clusterpb.Service{"a": a, "b": b, "u": unpinned}}
	tests := map[string]struct {
		digest string
		names  []string
		want   []string
	}{
		"by content, also of a history":    {digest1, nil, []string{"a", "b"}},
		"what one runs":                    {digest2, nil, []string{"a"}},
		"by a name that was not resolved":  {"", []string{"docker.io/library/db:1", web}, []string{"u"}},
		"both":                             {digest2, []string{web}, []string{"a", "u"}},
		"a tag that is pinned is no name":  {"", []string{"docker.io/library/web:2"}, nil},
		"nothing is asked, nothing is had": {"", nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ImageUsers(v, tt.digest, tt.names); !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestGivenElsewhere tells a copy from what a user gave to the node.
func TestGivenElsewhere(t *testing.T) {
	const one = "docker.io/library/web:1=" + digest1
	tests := map[string]struct {
		changes []*raftpb.Change
		want    bool
	}{
		"nobody reported it":    {nil, false},
		"loaded here":           {[]*raftpb.Change{has("n1", one+" loaded")}, false},
		"a copy, not reported":  {[]*raftpb.Change{has("n2", one+" loaded")}, true},
		"a copy":                {[]*raftpb.Change{has("n1", one+" copy"), has("n2", one+" loaded")}, true},
		"loaded on both":        {[]*raftpb.Change{has("n1", one+" loaded"), has("n2", one+" loaded")}, false},
		"pulled there":          {[]*raftpb.Change{has("n2", one+" pulled")}, false},
		"its other node is off": {[]*raftpb.Change{has("n1", one+" copy"), has("n2", one+" loaded"), nodeIs("n2", clusterpb.NodeStatus_STATE_DOWN)}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, slices.Concat(addNode("n1"), addNode("n2"), tt.changes)...)
			if got := GivenElsewhere(w.st, "n1", digest1); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
