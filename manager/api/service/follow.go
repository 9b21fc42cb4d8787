package service

import (
	"google.golang.org/grpc"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/manager/api/lookup"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/raftstore/state"
)

// FollowService sends a service and its tasks now, after every change, and once
// every node routes to them, until it is removed. Changes that come faster than
// they can be sent are seen as one.
func (s *Server) FollowService(r *controlpb.FollowServiceRequest, stream grpc.ServerStreamingServer[controlpb.FollowServiceResponse]) error {
	sub := s.Store.Subscribe()
	defer sub.Close()
	svc, err := lookup.Service(s.Store.State(), r.GetService())
	if err != nil {
		return err
	}
	for {
		resp, gone := s.follow(svc.GetId())
		at := index(resp)
		mark, risen := s.LowWaterMark()
		resp.Routed = mark >= at
		if err := stream.Send(resp); err != nil || gone {
			return err
		}
		if resp.GetRouted() {
			risen = nil
		}
		for news := false; !news; {
			select {
			case <-stream.Context().Done():
				return nil
			case <-sub.C:
				news = concerns(sub.Take(), svc.GetId())
			case <-risen:
				mark, risen = s.LowWaterMark()
				news = mark >= at
			}
		}
	}
}

// index returns the index of the state in which what is sent came about.
func index(r *controlpb.FollowServiceResponse) uint64 {
	at := max(r.GetService().GetVersion(), r.GetService().GetUpdate().GetVersion())
	for _, t := range r.GetTasks() {
		at = max(at, t.GetVersion())
	}
	return at
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
