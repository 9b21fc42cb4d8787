// Package task answers what users ask of tasks.
package task

import (
	"container/heap"
	"context"
	"iter"
	"slices"

	"github.com/muster/muster/manager/api/lookup"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/id"
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
	if err := id.Few("services", r.GetServiceIds()); err != nil {
		return nil, err
	}
	if err := id.Few("nodes", r.GetNodeIds()); err != nil {
		return nil, err
	}
	resp := &controlpb.ListTasksResponse{}
	resp.Tasks, resp.NextPageToken = page.Cut(p, tasksOf(s.Store.State(), r, p.After), (*clusterpb.Task).GetId, credential.Redact[*clusterpb.Task])
	return resp, nil
}

// tasksOf yields the tasks that r asks for which come after an id, ordered by id.
func tasksOf(st *state.State, r *controlpb.ListTasksRequest, after string) iter.Seq[*clusterpb.Task] {
	services, nodes := distinct(r.GetServiceIds()), distinct(r.GetNodeIds())
	switch {
	case len(r.GetServiceIds()) > 0:
		return merge(services, func(owner string) iter.Seq[*clusterpb.Task] {
			if len(r.GetNodeIds()) == 0 {
				return st.TasksAfter(after, owner, "")
			}
			return on(nodes, st.TasksAfter(after, owner, ""))
		})
	case len(r.GetNodeIds()) > 0:
		return merge(nodes, func(owner string) iter.Seq[*clusterpb.Task] { return st.TasksAfter(after, "", owner) })
	}
	return st.TasksAfter(after, "", "")
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

// merge yields the tasks of several owners, ordered by id. It takes one of each
// more than what is asked of it.
func merge(owners []string, of func(owner string) iter.Seq[*clusterpb.Task]) iter.Seq[*clusterpb.Task] {
	return func(yield func(*clusterpb.Task) bool) {
		var next heads
		for _, owner := range owners {
			pull, stop := iter.Pull(of(owner))
			defer stop()
			if t, ok := pull(); ok {
				next = append(next, head{t, pull})
			}
		}
		heap.Init(&next)
		for len(next) > 0 {
			if !yield(next[0].task) {
				return
			}
			if t, ok := next[0].pull(); ok {
				next[0].task = t
				heap.Fix(&next, 0)
			} else {
				heap.Pop(&next)
			}
		}
	}
}

// head is the next task of one owner.
type head struct {
	task *clusterpb.Task
	pull func() (*clusterpb.Task, bool)
}

// heads is a heap of them: the first has the lowest id.
type heads []head

func (h *heads) Len() int           { return len(*h) }
func (h *heads) Less(i, j int) bool { return (*h)[i].task.GetId() < (*h)[j].task.GetId() }
func (h *heads) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }
func (h *heads) Push(x any)         { *h = append(*h, x.(head)) } //nolint:forcetypeassert // nothing else is pushed
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// GetTask returns one task.
func (s *Server) GetTask(_ context.Context, r *controlpb.GetTaskRequest) (*controlpb.GetTaskResponse, error) {
	t, err := lookup.Task(s.Store.State(), r.GetTask())
	if err != nil {
		return nil, err
	}
	return &controlpb.GetTaskResponse{Task: credential.Redact(t)}, nil
}
