// Package task answers what users ask of tasks.
package task

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/muster/muster/manager/api/lookup"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/page"
	"github.com/muster/muster/raftstore/state"
)

// Store is what the tasks' calls need of the replicated state.
type Store interface {
	State() *state.State
}

// Server implements TaskService.
type Server struct {
	controlpb.UnimplementedTaskServiceServer

	Store Store
}

var _ controlpb.TaskServiceServer = (*Server)(nil)

// ListTasks returns the tasks of services, of nodes, or all, a page at a time.
func (s *Server) ListTasks(_ context.Context, r *controlpb.ListTasksRequest) (*controlpb.ListTasksResponse, error) {
	p, err := page.Of("tasks", r)
	if err != nil {
		return nil, err
	}
	resp := &controlpb.ListTasksResponse{}
	resp.Tasks, resp.NextPageToken = page.Cut(p, tasksOf(s.Store.State(), r, p), (*clusterpb.Task).GetId, credential.Redact[*clusterpb.Task])
	return resp, nil
}

// tasksOf yields the tasks that r asks for, ordered by id: enough of them to
// see what is on the page and that it is not the last one.
func tasksOf(st *state.State, r *controlpb.ListTasksRequest, p page.Page) iter.Seq[*clusterpb.Task] {
	services, nodes := distinct(r.GetServiceIds()), distinct(r.GetNodeIds())
	switch {
	case len(r.GetServiceIds()) > 0:
		return merge(services, p.Most+1, func(id string) iter.Seq[*clusterpb.Task] {
			if len(r.GetNodeIds()) == 0 {
				return st.TasksAfter(p.After, id, "")
			}
			return on(nodes, st.TasksAfter(p.After, id, ""))
		})
	case len(r.GetNodeIds()) > 0:
		return merge(nodes, p.Most+1, func(id string) iter.Seq[*clusterpb.Task] { return st.TasksAfter(p.After, "", id) })
	}
	return st.TasksAfter(p.After, "", "")
}

// distinct are the ids that may name something, each once, in order.
func distinct(ids []string) []string {
	named := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })
	slices.Sort(named)
	return slices.Compact(named)
}

// on yields the tasks that are on one of the nodes.
func on(nodes []string, tasks iter.Seq[*clusterpb.Task]) iter.Seq[*clusterpb.Task] {
	return func(yield func(*clusterpb.Task) bool) {
		for t := range tasks {
			if _, ok := slices.BinarySearch(nodes, t.GetNodeId()); ok && !yield(t) {
				return
			}
		}
	}
}

// merge yields the first tasks of several owners, ordered by id. Of each it
// takes no more than most.
func merge(owners []string, most int, of func(owner string) iter.Seq[*clusterpb.Task]) iter.Seq[*clusterpb.Task] {
	if len(owners) == 1 {
		return of(owners[0])
	}
	var all []*clusterpb.Task
	for _, owner := range owners {
		left := most
		for t := range of(owner) {
			if all = append(all, t); left == 1 {
				break
			}
			left--
		}
	}
	slices.SortFunc(all, func(a, b *clusterpb.Task) int { return cmp.Compare(a.GetId(), b.GetId()) })
	return slices.Values(all)
}

// GetTask returns one task.
func (s *Server) GetTask(_ context.Context, r *controlpb.GetTaskRequest) (*controlpb.GetTaskResponse, error) {
	t, err := lookup.Task(s.Store.State(), r.GetTask())
	if err != nil {
		return nil, err
	}
	return &controlpb.GetTaskResponse{Task: credential.Redact(t)}, nil
}
