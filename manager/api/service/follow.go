package service

import (
	"maps"
	"slices"

	"google.golang.org/grpc"

	"github.com/muster/muster/manager/api/lookup"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/page"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// FollowService sends a service and its tasks now, then what changes of them,
// and once every node routes to them, until it is removed. Changes that come
// faster than they can be sent are seen as one.
func (s *Server) FollowService(r *controlpb.FollowServiceRequest, stream grpc.ServerStreamingServer[controlpb.FollowServiceResponse]) error {
	sub := s.Store.Subscribe()
	defer sub.Close()
	svc, err := lookup.Service(s.Store.State(), r.GetService())
	if err != nil {
		return err
	}
	f := &following{server: s, id: svc.GetId(), sub: sub, stream: stream}
	changed := all(s.Store.State(), f.id)
	for {
		st := s.Store.State()
		if _, ok := st.Service(f.id); !ok {
			return stream.Send(&controlpb.FollowServiceResponse{})
		}
		routed, err := f.tell(st, changed)
		if err != nil {
			return err
		}
		var gone bool
		if changed, gone = f.wait(routed); gone {
			return nil
		}
	}
}

// following is what one client follows.
type following struct {
	server *Server
	id     string
	sub    *raftstore.Subscription
	stream grpc.ServerStreamingServer[controlpb.FollowServiceResponse]
	// at is the index of the state in which what was sent came about.
	at uint64
}

// all are the ids of the service's tasks.
func all(st *state.State, serviceID string) map[string]struct{} {
	ids := make(map[string]struct{})
	for t := range st.TasksOf(serviceID) {
		ids[t.GetId()] = struct{}{}
	}
	return ids
}

// tell sends the service and those of its tasks that have changed, in as many
// messages as that takes. It reports whether all nodes route to them.
func (f *following) tell(st *state.State, changed map[string]struct{}) (routed bool, err error) {
	resp, size := &controlpb.FollowServiceResponse{}, page.Size{}
	for _, id := range slices.Sorted(maps.Keys(changed)) {
		if size.Full() {
			resp.More = true
			if err := f.stream.Send(resp); err != nil {
				return false, err
			}
			resp, size = &controlpb.FollowServiceResponse{}, page.Size{}
		}
		t, ok := st.Task(id)
		if !ok {
			resp.Removed = append(resp.Removed, id)
			size.Add(&clusterpb.Task{Id: id})
			continue
		}
		t = credential.Redact(t)
		resp.Tasks = append(resp.Tasks, t)
		size.Add(t)
		f.at = max(f.at, t.GetVersion())
	}
	svc, _ := st.Service(f.id)
	resp.Service = credential.Redact(svc)
	f.at = max(f.at, svc.GetVersion(), svc.GetUpdate().GetVersion())
	mark, _ := f.server.LowWaterMark()
	resp.Routed = mark >= f.at
	return resp.GetRouted(), f.stream.Send(resp)
}

// wait waits until there is something to tell, and returns the tasks that have
// changed. It reports whether the client has gone.
func (f *following) wait(routed bool) (changed map[string]struct{}, gone bool) {
	for {
		mark, risen := f.server.LowWaterMark()
		switch {
		case routed:
			risen = nil
		case mark >= f.at:
			return nil, false
		}
		select {
		case <-f.stream.Context().Done():
			return nil, true
		case <-f.sub.C:
			if changed, news := f.concerned(f.sub.Take()); news {
				return changed, false
			}
		case <-risen:
		}
	}
}

// concerned returns the tasks of the service among refs, and whether they or
// the service itself are among them.
func (f *following) concerned(refs map[state.Ref]struct{}) (tasks map[string]struct{}, news bool) {
	tasks = make(map[string]struct{})
	for ref := range refs {
		if ref.Owner == f.id {
			tasks[ref.ID] = struct{}{}
		}
		news = news || ref.ID == f.id || ref.Owner == f.id
	}
	return tasks, news
}
