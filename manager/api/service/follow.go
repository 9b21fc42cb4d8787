package service

import (
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/muster/muster/manager/api/lookup"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/page"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// FollowService sends a service, its tasks and the slots of its rollout now, then
// what changes of them, and once every node routes to the tasks, until it is
// removed. Changes that come faster than they can be sent are seen as one.
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
	// rollout is the one that was sent.
	rollout *clusterpb.UpdateStatus
	// message is what is sent next.
	message *controlpb.FollowServiceResponse
	size    page.Size
}

// all are the ids of the service's tasks.
func all(st *state.State, serviceID string) map[string]struct{} {
	ids := make(map[string]struct{})
	for t := range st.TasksOf(serviceID) {
		ids[t.GetId()] = struct{}{}
	}
	return ids
}

// tell sends the service, those of its tasks that have changed and the slots of
// its rollout that have, in as many messages as that takes. It reports whether
// all nodes route to the tasks.
func (f *following) tell(st *state.State, changed map[string]struct{}) (routed bool, err error) {
	svc, _ := st.Service(f.id)
	slots, dropped := rollout.Changes(f.rollout, svc.GetUpdate())
	f.rollout = svc.GetUpdate()
	f.message, f.size = &controlpb.FollowServiceResponse{Dropped: dropped}, page.Size{}
	for _, id := range slices.Sorted(maps.Keys(changed)) {
		t, ok := st.Task(id)
		if !ok {
			f.size.Add(&clusterpb.Task{Id: id})
			f.message.Removed = append(f.message.Removed, id)
		} else {
			t = credential.Redact(t)
			f.size.Add(t)
			f.message.Tasks = append(f.message.Tasks, t)
			f.at = max(f.at, t.GetVersion())
		}
		if err := f.sendFull(); err != nil {
			return false, err
		}
	}
	for _, slot := range slots {
		f.size.Add(slot)
		f.message.Progress = append(f.message.Progress, slot)
		if err := f.sendFull(); err != nil {
			return false, err
		}
	}
	f.message.Service = followed(svc)
	f.at = max(f.at, svc.GetVersion(), svc.GetUpdate().GetVersion())
	mark, _ := f.server.LowWaterMark()
	f.message.Routed = mark >= f.at
	return f.message.GetRouted(), f.stream.Send(f.message)
}

// sendFull sends the message if nothing more fits it.
func (f *following) sendFull() error {
	if !f.size.Full() {
		return nil
	}
	f.message.More = true
	full := f.message
	f.message, f.size = &controlpb.FollowServiceResponse{}, page.Size{}
	return f.stream.Send(full)
}

// followed is a service without what is long and was told already, or is not
// asked for: the progress of its rollout, and its history.
func followed(svc *clusterpb.Service) *clusterpb.Service {
	view := without(svc, "history")
	if svc.GetUpdate() != nil {
		view.Update = without(svc.GetUpdate(), "progress")
	}
	return credential.Redact(view)
}

// without returns m without a field; what else is in it is shared with m.
func without[M proto.Message](m M, field protoreflect.Name) M {
	rest := m.ProtoReflect().New()
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Name() != field {
			rest.Set(f, v)
		}
		return true
	})
	return rest.Interface().(M) //nolint:forcetypeassert // it is made by m
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
