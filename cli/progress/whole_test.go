package progress

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// TestWhole: a view has all tasks, though a stream tells of each change alone
// and of many tasks in several messages.
func TestWhole(t *testing.T) {
	task := func(id string, version uint64) *clusterpb.Task { return &clusterpb.Task{Id: id, Version: version} }
	web := &clusterpb.Service{Id: "web"}
	steps := []struct {
		what string
		told *controlpb.FollowServiceResponse
		view *controlpb.FollowServiceResponse
	}{
		{"a first part", &controlpb.FollowServiceResponse{Tasks: []*clusterpb.Task{task("b", 1)}, More: true}, nil},
		{
			"the rest", &controlpb.FollowServiceResponse{Service: web, Tasks: []*clusterpb.Task{task("a", 1), task("c", 1)}},
			&controlpb.FollowServiceResponse{Service: web, Tasks: []*clusterpb.Task{task("a", 1), task("b", 1), task("c", 1)}},
		},
		{
			"a change, and one that is gone", &controlpb.FollowServiceResponse{Service: web, Tasks: []*clusterpb.Task{task("b", 2)}, Removed: []string{"c", "never seen"}},
			&controlpb.FollowServiceResponse{Service: web, Tasks: []*clusterpb.Task{task("a", 1), task("b", 2)}},
		},
		{
			"routed", &controlpb.FollowServiceResponse{Service: web, Routed: true},
			&controlpb.FollowServiceResponse{Service: web, Tasks: []*clusterpb.Task{task("a", 1), task("b", 2)}, Routed: true},
		},
		{
			"the service is gone", &controlpb.FollowServiceResponse{Removed: []string{"a", "b"}},
			&controlpb.FollowServiceResponse{},
		},
	}
	var w whole
	for _, s := range steps {
		if diff := cmp.Diff(s.view, w.take(s.told), protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.what, diff)
		}
	}
}
