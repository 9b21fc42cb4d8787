package controlapi

import (
	"context"
	"iter"
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/raftstore/state"
)

// ListTasks returns the tasks of services, of nodes, or all.
func (s *Server) ListTasks(_ context.Context, r *controlpb.ListTasksRequest) (*controlpb.ListTasksResponse, error) {
	resp := &controlpb.ListTasksResponse{}
	for t := range selectTasks(s.Store.State(), r.GetServiceIds()) {
		if len(r.GetNodeIds()) == 0 || slices.Contains(r.GetNodeIds(), t.GetNodeId()) {
			resp.Tasks = append(resp.Tasks, credential.Redact(t))
		}
	}
	return resp, nil
}

func selectTasks(s *state.State, serviceIDs []string) iter.Seq[*clusterpb.Task] {
	if len(serviceIDs) == 0 {
		return s.Tasks()
	}
	return func(yield func(*clusterpb.Task) bool) {
		for _, id := range serviceIDs {
			for t := range s.TasksOf(id) {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// GetTask returns one task.
func (s *Server) GetTask(_ context.Context, r *controlpb.GetTaskRequest) (*controlpb.GetTaskResponse, error) {
	t, err := findTask(s.Store.State(), r.GetTask())
	if err != nil {
		return nil, err
	}
	return &controlpb.GetTaskResponse{Task: credential.Redact(t)}, nil
}
