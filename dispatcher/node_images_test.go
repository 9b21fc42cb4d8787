package dispatcher

import (
	"fmt"
	"testing"

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
