package progress

import (
	"maps"
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// whole makes views of all tasks of what a stream tells of them bit by bit.
type whole struct {
	tasks map[string]*clusterpb.Task
}

// take adds a message. It returns nil when more belongs to the same view.
func (w *whole) take(r *controlpb.FollowServiceResponse) *controlpb.FollowServiceResponse {
	if w.tasks == nil {
		w.tasks = make(map[string]*clusterpb.Task)
	}
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
	return view
}
