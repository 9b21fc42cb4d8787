package dispatcher

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore/state"
)

// TestNodeWithVeryManyImages: what it tells of them fits a log entry.
func TestNodeWithVeryManyImages(t *testing.T) {
	list := make([]*clusterpb.NodeImage, 20_000)
	for i := range list {
		list[i] = &clusterpb.NodeImage{Name: fmt.Sprintf("registry.example.com/team/image:%060d", i), Digest: fmt.Sprintf("sha256:%064d", i)}
	}
	few := images("n1", list[:10])
	if n := len(few.GetImages().GetImages()); n != 10 {
		t.Errorf("%d of 10 images are told of", n)
	}
	many := images("n1", list)
	if n := proto.Size(state.ObserveNode(many)); n > state.MaxCommand/2 || len(many.GetImages().GetImages()) < 1000 {
		t.Errorf("%d images in %d bytes", len(many.GetImages().GetImages()), n)
	}
}

// TestNodeWithVeryManyLabels is refused in words: what it says of itself would
// be written down with each change.
func TestNodeWithVeryManyLabels(t *testing.T) {
	d := &clusterpb.NodeDescription{Hostname: "one", Labels: map[string]string{"zone": "a"}}
	if err := boundedDescription(d); err != nil {
		t.Error(err)
	}
	for i := range 10_000 {
		d.Labels[fmt.Sprint("label", i)] = "a value of some length"
	}
	if err := boundedDescription(d); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "at most 128, use fewer or shorter labels") {
		t.Errorf("got %v", err)
	}
}
