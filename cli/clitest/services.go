package clitest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// findLocked returns a service by id, name or prefix. The caller holds mu.
func (c *Cluster) findLocked(ref string) (*clusterpb.Service, error) {
	for _, s := range c.services {
		if s.GetId() == ref || s.GetSpec().GetName() == ref || ref != "" && strings.HasPrefix(s.GetId(), ref) {
			return s, nil
		}
	}
	return nil, fmt.Errorf("no service %q: %w", ref, errdefs.ErrNotFound)
}

// Service returns a service as it is stored.
func (c *Cluster) Service(name string) *clusterpb.Service {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, _ := c.findLocked(name)
	return proto.CloneOf(s)
}

// storeLocked stores a spec and runs its tasks. The caller holds mu.
func (c *Cluster) storeLocked(s *clusterpb.Service, spec *clusterpb.ServiceSpec) *clusterpb.Service {
	c.version++
	rolls := s.GetSpec() == nil || !proto.Equal(s.GetSpec().GetTask(), spec.GetTask())
	if s.GetSpec() != nil {
		s.History = append(s.History, &clusterpb.SpecRecord{
			Number: uint64(len(s.GetHistory())) + 1, Spec: s.GetSpec(), SpecVersion: s.GetSpecVersion(),
			CreatedAt: s.GetUpdatedAt(), Outcome: s.GetUpdate().GetState(),
		})
		if rolls {
			s.Update = &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_COMPLETED, StartedAt: timestamppb.New(Now()), Version: c.version}
			if c.Outcome != clusterpb.UpdateStatus_STATE_UNSPECIFIED {
				s.Update.State = c.Outcome
			}
		}
	}
	s.Spec, s.Version, s.UpdatedAt = proto.CloneOf(spec), c.version, timestamppb.New(Now())
	if rolls {
		s.SpecVersion = c.version
	}
	s.Ports = spec.GetPorts()
	c.services[s.GetId()] = s
	c.runLocked(s)
	return proto.CloneOf(s)
}

// runLocked replaces the tasks of s that differ. The caller holds mu.
func (c *Cluster) runLocked(s *clusterpb.Service) {
	c.tasks = slices.DeleteFunc(c.tasks, func(t *clusterpb.Task) bool { return t.GetServiceId() == s.GetId() })
	for slot := uint32(1); slot <= s.GetSpec().GetReplicated().GetReplicas(); slot++ {
		c.tasks = append(c.tasks, &clusterpb.Task{
			Id: fmt.Sprintf("%012dtask%09d", s.GetSpecVersion(), slot), ServiceId: s.GetId(), ServiceName: s.GetSpec().GetName(), Slot: slot,
			NodeId: c.Nodes[int(slot)%len(c.Nodes)].GetNode().GetId(), Spec: s.GetSpec().GetTask(), SpecVersion: s.GetSpecVersion(),
			Desired: lifecycle.Running, CreatedAt: timestamppb.New(Now()),
			Status: &clusterpb.TaskStatus{State: lifecycle.Running, AppliedAt: timestamppb.New(Now())},
		})
	}
}

// CreateService stores a service.
func (c *Cluster) CreateService(_ context.Context, r *controlpb.CreateServiceRequest) (*controlpb.CreateServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := r.GetSpec().GetName()
	if s, err := c.findLocked(name); err == nil {
		return nil, fmt.Errorf("a service named %q exists already (%s): %w", name, s.GetId(), errdefs.ErrAlreadyExists)
	}
	s := &clusterpb.Service{Id: fmt.Sprintf("service%018d", c.version), CreatedAt: timestamppb.New(Now())}
	return &controlpb.CreateServiceResponse{Service: c.storeLocked(s, r.GetSpec())}, nil
}

// UpdateService replaces a spec, or plans to.
func (c *Cluster) UpdateService(_ context.Context, r *controlpb.UpdateServiceRequest) (*controlpb.UpdateServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.findLocked(r.GetService())
	if err != nil {
		return nil, err
	}
	if !r.GetPlan() {
		return &controlpb.UpdateServiceResponse{Service: c.storeLocked(s, r.GetSpec())}, nil
	}
	planned := proto.CloneOf(s)
	planned.Spec = r.GetSpec()
	answer := &controlpb.UpdateServiceResponse{Service: planned}
	for _, t := range c.tasks {
		if t.GetServiceId() == s.GetId() {
			answer.Plan = append(answer.Plan, &controlpb.PlannedSlot{Slot: t.GetSlot(), Action: "replace", TaskId: t.GetId(), NodeId: t.GetNodeId()})
		}
	}
	return answer, nil
}

// ScaleService sets a number of replicas.
func (c *Cluster) ScaleService(_ context.Context, r *controlpb.ScaleServiceRequest) (*controlpb.ScaleServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.findLocked(r.GetService())
	if err != nil {
		return nil, err
	}
	spec := proto.CloneOf(s.GetSpec())
	spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: r.GetReplicas()}}
	return &controlpb.ScaleServiceResponse{Service: c.storeLocked(s, spec)}, nil
}

// RollbackService puts the spec before back.
func (c *Cluster) RollbackService(_ context.Context, r *controlpb.RollbackServiceRequest) (*controlpb.RollbackServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.findLocked(r.GetService())
	if err != nil {
		return nil, err
	}
	if len(s.GetHistory()) == 0 {
		return nil, fmt.Errorf("service %s has no earlier spec to roll back to: %w", s.GetSpec().GetName(), errdefs.ErrFailedPrecondition)
	}
	stored := c.storeLocked(s, s.GetHistory()[len(s.GetHistory())-1].GetSpec())
	s.Update.State = clusterpb.UpdateStatus_STATE_ROLLBACK_COMPLETED
	return &controlpb.RollbackServiceResponse{Service: stored}, nil
}

// ControlRollout restarts, or does nothing.
func (c *Cluster) ControlRollout(_ context.Context, r *controlpb.ControlRolloutRequest) (*controlpb.ControlRolloutResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.findLocked(r.GetService())
	if err != nil {
		return nil, err
	}
	if r.GetAction() != controlpb.ControlRolloutRequest_ACTION_RESTART {
		return &controlpb.ControlRolloutResponse{Service: proto.CloneOf(s)}, nil
	}
	spec := proto.CloneOf(s.GetSpec())
	spec.Task.ForceUpdate++
	return &controlpb.ControlRolloutResponse{Service: c.storeLocked(s, spec)}, nil
}

// RemoveService removes a service and its tasks.
func (c *Cluster) RemoveService(_ context.Context, r *controlpb.RemoveServiceRequest) (*controlpb.RemoveServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.findLocked(r.GetService())
	if err != nil {
		return nil, err
	}
	delete(c.services, s.GetId())
	c.tasks = slices.DeleteFunc(c.tasks, func(t *clusterpb.Task) bool { return t.GetServiceId() == s.GetId() })
	return &controlpb.RemoveServiceResponse{Id: s.GetId()}, nil
}

// GetService returns a service.
func (c *Cluster) GetService(_ context.Context, r *controlpb.GetServiceRequest) (*controlpb.GetServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.findLocked(r.GetService())
	return &controlpb.GetServiceResponse{Service: proto.CloneOf(s)}, err
}

// ListServices returns all services.
func (c *Cluster) ListServices(context.Context, *controlpb.ListServicesRequest) (*controlpb.ListServicesResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := &controlpb.ListServicesResponse{}
	for _, s := range c.services {
		n := s.GetSpec().GetReplicated().GetReplicas()
		answer.Services = append(answer.Services, &controlpb.ServiceView{Service: proto.CloneOf(s), Running: n, Desired: n})
	}
	return answer, nil
}

// FollowService sends a service as it is, and then nothing.
func (c *Cluster) FollowService(r *controlpb.FollowServiceRequest, stream grpc.ServerStreamingServer[controlpb.FollowServiceResponse]) error {
	c.mu.Lock()
	s, err := c.findLocked(r.GetService())
	answer := &controlpb.FollowServiceResponse{Service: proto.CloneOf(s), Tasks: c.tasksOfLocked(s.GetId())}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := stream.Send(answer); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (c *Cluster) tasksOfLocked(service string) (list []*clusterpb.Task) {
	for _, t := range c.tasks {
		if t.GetServiceId() == service {
			list = append(list, proto.CloneOf(t))
		}
	}
	return list
}

// ListTasks returns tasks by service and node.
func (c *Cluster) ListTasks(_ context.Context, r *controlpb.ListTasksRequest) (*controlpb.ListTasksResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := &controlpb.ListTasksResponse{}
	for _, t := range c.tasks {
		if (len(r.GetServiceIds()) == 0 || slices.Contains(r.GetServiceIds(), t.GetServiceId())) &&
			(len(r.GetNodeIds()) == 0 || slices.Contains(r.GetNodeIds(), t.GetNodeId())) {
			answer.Tasks = append(answer.Tasks, proto.CloneOf(t))
		}
	}
	return answer, nil
}

// GetTask returns a task by id or prefix.
func (c *Cluster) GetTask(_ context.Context, r *controlpb.GetTaskRequest) (*controlpb.GetTaskResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		if strings.HasPrefix(t.GetId(), r.GetTask()) {
			return &controlpb.GetTaskResponse{Task: proto.CloneOf(t)}, nil
		}
	}
	return nil, fmt.Errorf("no task %q: %w", r.GetTask(), errdefs.ErrNotFound)
}
