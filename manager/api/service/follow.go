package service

import (
	"google.golang.org/grpc"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/manager/api/lookup"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/raftstore/state"
)

// FollowService sends a service and its tasks now and after every change,
// until it is removed. Changes that come faster than they can be sent are
// seen as one.
func (s *Server) FollowService(r *controlpb.FollowServiceRequest, stream grpc.ServerStreamingServer[controlpb.FollowServiceResponse]) error {
	sub := s.Store.Subscribe()
	defer sub.Close()
	svc, err := lookup.Service(s.Store.State(), r.GetService())
	if err != nil {
		return err
	}
	for {
		resp, gone := s.follow(svc.GetId())
		if err := stream.Send(resp); err != nil || gone {
			return err
		}
		for {
			select {
			case <-stream.Context().Done():
				return nil
			case <-sub.C:
			}
			if concerns(sub.Take(), svc.GetId()) {
				break
			}
		}
	}
}

func (s *Server) follow(serviceID string) (resp *controlpb.FollowServiceResponse, gone bool) {
	st := s.Store.State()
	resp = &controlpb.FollowServiceResponse{}
	svc, err := lookup.Service(st, serviceID)
	if errdefs.IsNotFound(err) {
		return resp, true
	}
	resp.Service = credential.Redact(svc)
	for t := range st.TasksOf(serviceID) {
		resp.Tasks = append(resp.Tasks, credential.Redact(t))
	}
	return resp, false
}

func concerns(refs map[state.Ref]struct{}, serviceID string) bool {
	for ref := range refs {
		if ref.ID == serviceID || ref.Owner == serviceID {
			return true
		}
	}
	return false
}
