package state

import (
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
)

// SetUpdateStatus records the progress of the rollout of svc's spec_version.
// A status cloned from svc's carries the version it was made from and is a
// conflict when another has been written since; version 0 overwrites.
//
// Only the slots in which status differs from svc's travel, so that the cost of
// a step grows with the step, not with the service.
func SetUpdateStatus(svc *clusterpb.Service, status *clusterpb.UpdateStatus) *raftpb.Change {
	set := &raftpb.SetUpdateStatus{ServiceId: svc.GetId(), SpecVersion: svc.GetSpecVersion(), Status: status}
	if status.GetVersion() != 0 {
		set.Status = shallow(status)
		set.Status.Progress, set.Dropped = rollout.Changes(svc.GetUpdate(), status)
	}
	return setUpdateStatus(set)
}

// RollBack records the progress of a rollout that begins anew and puts a spec
// back, with what its images were resolved to and its restarts then; spec_version
// moves. When a port of that spec was given away meanwhile, the rollout is paused
// instead and its message says so.
func RollBack(serviceID string, specVersion uint64, status *clusterpb.UpdateStatus, earlier *clusterpb.SpecRecord) *raftpb.Change {
	return setUpdateStatus(&raftpb.SetUpdateStatus{
		ServiceId: serviceID, SpecVersion: specVersion, Status: status,
		Spec: earlier.GetSpec(), Images: earlier.GetImages(), Restarts: earlier.GetRestarts(),
	})
}

func setUpdateStatus(u *raftpb.SetUpdateStatus) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_SetUpdateStatus{SetUpdateStatus: u}}
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
	was := old.GetUpdate()
	if u.GetStatus().GetVersion() == 0 || u.GetSpec() != nil {
		was = nil // its progress is whole
	}
	status.Progress = rollout.Merge(was.GetProgress(), u.GetStatus().GetProgress(), u.GetDropped())
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
		svc = tx.rollBack(svc, u)
	}
	set(tx, &tx.services, svc)
	return nil
}

// promoteCanaries lets the service's canaries take over.
func (tx *tx) promoteCanaries(svc *clusterpb.Service) {
	// Collected first, for the table must not be written while it is read.
	promoted, replaced := rollout.TakeOver(svc, slices.Collect(tx.tasks.with(taskByService, svc.GetId())))
	for _, old := range promoted {
		t := shallow(old)
		t.Canary = false
		tx.setTask(t)
	}
	for _, t := range replaced {
		tx.raise(t, lifecycle.Shutdown, "out of date")
	}
}

// rollBack replaces the spec of a service whose update status is set already.
// When that cannot be, since a port it needs was given away, the rollout
// stops where it is and says so: trying again would not help.
func (tx *tx) rollBack(svc *clusterpb.Service, u *raftpb.SetUpdateStatus) *clusterpb.Service {
	back, err := tx.respec(svc, &raftpb.PutService{Spec: u.GetSpec(), Images: u.GetImages(), Restarts: u.GetRestarts(), Rollback: true})
	if err == nil {
		return back
	}
	svc.Update = rollout.Strand(svc.GetUpdate(), err)
	return svc
}
