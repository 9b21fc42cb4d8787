package progress

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/rollout"
)

// whole makes views of all tasks and slots of what a stream tells of them bit by
// bit.
type whole struct {
	tasks map[string]*clusterpb.Task
	slots []*clusterpb.SlotUpdate
}

// take adds a message. It returns nil when more belongs to the same view.
func (w *whole) take(r *controlpb.FollowServiceResponse) *controlpb.FollowServiceResponse {
	if w.tasks == nil {
		w.tasks = make(map[string]*clusterpb.Task)
	}
	w.slots = rollout.Merge(w.slots, r.GetProgress(), r.GetDropped())
	for _, t := range r.GetTasks() {
		w.tasks[t.GetId()] = t
	}
	for _, id := range r.GetRemoved() {
		delete(w.tasks, id)
	}
	if r.GetMore() {
		return nil
	}
	view := &controlpb.FollowServiceResponse{Service: r.GetService(), Routed: r.GetRouted()}
	for _, id := range slices.Sorted(maps.Keys(w.tasks)) {
		view.Tasks = append(view.Tasks, w.tasks[id])
	}
	if len(w.slots) > 0 && view.GetService().GetUpdate() != nil {
		view.Service = proto.CloneOf(view.GetService())
		view.Service.Update.Progress = w.slots
	}
	return view
}
