package pod

import (
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

func TestResolved(t *testing.T) {
	web := &clusterpb.ResolvedImage{Image: "web", Pinned: "web:latest@sha256:1"}
	list := []*clusterpb.ResolvedImage{{Image: "log", Pinned: "log:latest@sha256:2"}, web}
	if got := Resolved(list, "web"); got != web {
		t.Errorf("web was resolved to %v, want %v", got, web)
	}
	if got := Resolved(list, "web:1"); got != nil {
		t.Errorf("web:1, which the spec does not name, was resolved to %v", got)
	}
	if got := Pinned(list, "web"); got != "web:latest@sha256:1" {
		t.Errorf("nodes fetch %s for web", got)
	}
	if got := Pinned(nil, "web"); got != "web" {
		t.Errorf("nodes fetch %s for web, which was not resolved", got)
	}
}
