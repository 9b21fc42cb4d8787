package state

import (
	"iter"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
)

const (
	serviceByName = iota
	serviceByPort
)

func serviceTable() table[*clusterpb.Service] {
	return newTable(&definition[*clusterpb.Service]{
		key: (*clusterpb.Service).GetId,
		indexes: []func(*clusterpb.Service) []string{
			serviceByName: func(s *clusterpb.Service) []string { return []string{s.GetSpec().GetName()} },
			serviceByPort: func(s *clusterpb.Service) []string { return publishedKeys(s.GetPorts()) },
		},
	})
}

// Service returns the service with that id.
func (s *State) Service(id string) (*clusterpb.Service, bool) { return s.services.get(id) }

// ServiceByName returns the service with that name.
func (s *State) ServiceByName(name string) (*clusterpb.Service, bool) {
	for svc := range s.services.with(serviceByName, name) {
		return svc, true
	}
	return nil, false
}

// Services yields every service, ordered by id.
func (s *State) Services() iter.Seq[*clusterpb.Service] { return s.services.all() }

// putService creates the service at version 0, or replaces spec at the version
// named. The progress of a rollout does not move the version, so that who
// edits a spec is not disturbed by it.
func (tx *tx) putService(next *clusterpb.Service) error {
	name := next.GetSpec().GetName()
	if next.GetId() == "" || name == "" {
		return refuse(invalid, "a service needs an id and a name")
	}
	for other := range tx.services.with(serviceByName, name) {
		if other.GetId() != next.GetId() {
			return refuse(alreadyExists, "a service named %q exists already", name)
		}
	}
	old, exists := tx.services.get(next.GetId())
	if err := checkVersion("service "+name, exists, old.GetVersion(), next.GetVersion()); err != nil {
		return err
	}
	if !exists {
		old = &clusterpb.Service{Id: next.GetId(), CreatedAt: timestamppb.New(tx.now)}
	}
	svc, err := tx.respec(old, next.GetSpec(), next.GetPorts())
	if err != nil {
		return err
	}
	if exists && svc.GetSpecVersion() != old.GetSpecVersion() {
		svc.Update = tx.newUpdate(next.GetUpdate())
	}
	tx.setService(svc)
	return nil
}

// newUpdate is the progress of an update that has just begun. What the writer
// put together with the new spec stands, such as that it is a rollback; what
// belongs to an earlier update does not. The updater fills in the rest.
func (tx *tx) newUpdate(asked *clusterpb.UpdateStatus) *clusterpb.UpdateStatus {
	u := &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_UPDATING}
	if asked.GetVersion() == 0 && asked.GetState() != clusterpb.UpdateStatus_STATE_UNSPECIFIED {
		u = shallow(asked)
	}
	if u.GetStartedAt() == nil {
		u.StartedAt = timestamppb.New(tx.now)
	}
	u.Version = tx.index
	return u
}

// respec returns what old becomes with another spec: the old one goes into
// history, and spec_version moves when tasks must be replaced. given are
// published ports that the writer chose.
func (tx *tx) respec(old *clusterpb.Service, next *clusterpb.ServiceSpec, given []*clusterpb.Port) (*clusterpb.Service, error) {
	ports, err := tx.publishPorts(old, next, given)
	if err != nil {
		return nil, err
	}
	svc := shallow(old)
	svc.Spec, svc.Ports = next, ports
	svc.Version = tx.index
	svc.UpdatedAt = timestamppb.New(tx.now)
	if old.GetSpec() == nil || replacesTasks(old.GetSpec(), next) {
		svc.SpecVersion = tx.index
	}
	if old.GetSpec() != nil && !proto.Equal(old.GetSpec(), next) {
		svc.History = record(old, svc.GetSpecVersion())
	}
	return svc, nil
}

// replacesTasks reports whether tasks made from the old spec are out of date
// under the next.
func replacesTasks(old, next *clusterpb.ServiceSpec) bool {
	return !proto.Equal(old.GetTask(), next.GetTask()) ||
		!proto.Equal(&clusterpb.ServiceSpec{Ports: old.GetPorts()}, &clusterpb.ServiceSpec{Ports: next.GetPorts()})
}

// deleteService removes the service. Its tasks stay until they have stopped.
func (tx *tx) deleteService(id string) error {
	if _, ok := tx.services.get(id); !ok {
		return refuse(notFound, "service %s is gone", id)
	}
	tx.services.delete(id)
	tx.touch(Ref{Kind: KindService, ID: id})
	return nil
}

// setUpdateStatus records a rollout's progress, and with a spec the step back
// to that. It is skipped when spec_version is no longer the service's.
//
// A status made from one that has changed since is a conflict: a rollout that
// was paused meanwhile must not go on, so the whole command must not apply.
func (tx *tx) setUpdateStatus(u *raftpb.SetUpdateStatus) error {
	old, ok := tx.services.get(u.GetServiceId())
	if !ok || old.GetSpecVersion() != u.GetSpecVersion() {
		return nil
	}
	if v := u.GetStatus().GetVersion(); v != 0 && v != old.GetUpdate().GetVersion() {
		return refuse(conflict, "the rollout of service %s moved on meanwhile", old.GetSpec().GetName())
	}
	status := shallow(u.GetStatus())
	status.Version = old.GetUpdate().GetVersion()
	if u.GetSpec() == nil && proto.Equal(status, old.GetUpdate()) {
		return nil
	}
	status.Version = tx.index
	if status.GetPromoted() && !old.GetUpdate().GetPromoted() {
		tx.promoteCanaries(old)
	}
	svc := shallow(old)
	svc.Update = status
	if u.GetSpec() != nil {
		svc = tx.rollBack(svc, u.GetSpec())
	}
	tx.setService(svc)
	return nil
}

// promoteCanaries makes all canaries ordinary tasks that have their slots from
// now on, and asks the tasks they replace to stop: in one step, so that no
// state leads connections to both.
//
// A canary that does not serve right now leaves the old task to the updater,
// unless the canaries are all replicas: then the old ones go together, though
// not for nothing.
func (tx *tx) promoteCanaries(svc *clusterpb.Service) {
	// Collected first, for the table must not be written while it is read.
	tasks := slices.Collect(tx.tasks.with(taskByService, svc.GetId()))
	taken, serves := make(map[uint32]bool), false // slots, by whether the old tasks go
	for _, old := range tasks {
		if !old.GetCanary() || old.GetSpecVersion() != svc.GetSpecVersion() {
			continue
		}
		serving := lifecycle.Serving(old)
		serves = serves || serving
		taken[old.GetSlot()] = taken[old.GetSlot()] || serving || spec.BlueGreen(svc)
		t := shallow(old)
		t.Canary = false
		tx.setTask(t)
	}
	for _, old := range tasks {
		if serves && taken[old.GetSlot()] && old.GetSpecVersion() != svc.GetSpecVersion() && lifecycle.Wanted(old) {
			tx.setDesired(&raftpb.SetDesired{Id: old.GetId(), Desired: lifecycle.Shutdown, Reason: "out of date"})
		}
	}
}

// rollBack replaces the spec of a service whose update status is set already.
// When that cannot be, since a port it needs was given away, the rollout
// stops where it is and says so: trying again would not help.
func (tx *tx) rollBack(svc *clusterpb.Service, earlier *clusterpb.ServiceSpec) *clusterpb.Service {
	back, err := tx.respec(svc, earlier, nil)
	if err == nil {
		return back
	}
	svc.Update.PausedFrom = svc.Update.State
	svc.Update.State = clusterpb.UpdateStatus_STATE_PAUSED
	svc.Update.Message = "cannot roll back: " + err.Error()
	return svc
}

func (tx *tx) setService(s *clusterpb.Service) {
	tx.services.put(s)
	tx.touch(Ref{Kind: KindService, ID: s.GetId()})
}
