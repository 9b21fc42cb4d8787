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
	slot := func(n uint32, failed bool) *clusterpb.SlotUpdate {
		return &clusterpb.SlotUpdate{Slot: n, Failed: failed}
	}
	rolling := func(slots ...*clusterpb.SlotUpdate) *clusterpb.Service {
		return &clusterpb.Service{Id: "web", Update: &clusterpb.UpdateStatus{Slots: 3, Progress: slots}}
	}
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
		{"a first part of a rollout", &controlpb.FollowServiceResponse{Progress: []*clusterpb.SlotUpdate{slot(2, false)}, More: true, Removed: []string{"a"}}, nil},
		{
			"the rest of it", &controlpb.FollowServiceResponse{Service: rolling(), Progress: []*clusterpb.SlotUpdate{slot(1, false), slot(3, false)}},
			&controlpb.FollowServiceResponse{Service: rolling(slot(1, false), slot(2, false), slot(3, false)), Tasks: []*clusterpb.Task{task("b", 2)}},
		},
		{
			"a slot goes on, and one is dropped", &controlpb.FollowServiceResponse{Service: rolling(), Progress: []*clusterpb.SlotUpdate{slot(3, true)}, Dropped: []uint32{1}},
			&controlpb.FollowServiceResponse{Service: rolling(slot(2, false), slot(3, true)), Tasks: []*clusterpb.Task{task("b", 2)}},
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
