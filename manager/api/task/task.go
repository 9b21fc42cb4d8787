// Package task answers what users ask of tasks.
package task

import (
	"context"
	"iter"
	"slices"

	"github.com/muster/muster/manager/api/lookup"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
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

// ListTasks returns the tasks of services, of nodes, or all.
func (s *Server) ListTasks(_ context.Context, r *controlpb.ListTasksRequest) (*controlpb.ListTasksResponse, error) {
	resp := &controlpb.ListTasksResponse{}
	for t := range tasksOf(s.Store.State(), r.GetServiceIds()) {
		if len(r.GetNodeIds()) == 0 || slices.Contains(r.GetNodeIds(), t.GetNodeId()) {
			resp.Tasks = append(resp.Tasks, credential.Redact(t))
		}
	}
	return resp, nil
}

func tasksOf(st *state.State, serviceIDs []string) iter.Seq[*clusterpb.Task] {
	if len(serviceIDs) == 0 {
		return st.Tasks()
	}
	return func(yield func(*clusterpb.Task) bool) {
		for _, id := range serviceIDs {
			for t := range st.TasksOf(id) {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// GetTask returns one task.
func (s *Server) GetTask(_ context.Context, r *controlpb.GetTaskRequest) (*controlpb.GetTaskResponse, error) {
	t, err := lookup.Task(s.Store.State(), r.GetTask())
	if err != nil {
		return nil, err
	}
	return &controlpb.GetTaskResponse{Task: credential.Redact(t)}, nil
}
