package state

import (
	"iter"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/proto/spec"
)

const (
	serviceByName = iota
	serviceByPort
)

// KindService is of services.
const KindService Kind = "service"

func serviceKind() *kind[*clusterpb.Service] {
	return &kind[*clusterpb.Service]{
		name: KindService,
		key:  (*clusterpb.Service).GetId,
		indexes: []func(*clusterpb.Service) []string{
			serviceByName: func(s *clusterpb.Service) []string { return []string{nameKey(s.GetSpec().GetName())} },
			serviceByPort: portIndex,
		},
		item: func(s *clusterpb.Service) *raftpb.SnapshotItem {
			return &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Service{Service: s}}
		},
		object:  (*raftpb.SnapshotItem).GetService,
		answers: true,
		setBack: setServiceBack,
	}
}

// setServiceBack moves the times of a rollout, but for when it began and ended:
// these are shown, and tell it from others.
func setServiceBack(old *clusterpb.Service, by time.Duration) *clusterpb.Service {
	svc := shallow(old)
	if svc.GetUpdate() == nil {
		return svc
	}
	svc.Update = shallow(svc.GetUpdate())
	earlier(by, &svc.Update.ResumedAt)
	progress := svc.GetUpdate().GetProgress()
	svc.Update.Progress = make([]*clusterpb.SlotUpdate, len(progress))
	for i, p := range progress {
		e := shallow(p)
		earlier(by, &e.StartedAt, &e.RunningAt, &e.DoneAt)
		svc.Update.Progress[i] = e
	}
	return svc
}

// nameKey is what a name is known by. Names differ by more than the case of their
// letters: those that do not are one in DNS.
func nameKey(name string) string { return strings.ToLower(name) }

// Service returns the service with that id.
func (s *State) Service(id string) (*clusterpb.Service, bool) { return s.services.get(id) }

// ServiceByName returns the service with that name, however it is capitalised.
func (s *State) ServiceByName(name string) (*clusterpb.Service, bool) {
	for svc := range s.services.with(serviceByName, nameKey(name)) {
		return svc, true
	}
	return nil, false
}

// CheckServiceName refuses, as AlreadyExists, a name that another service than
// the one with that id has.
func (o *objects) CheckServiceName(name, id string) error {
	for other := range o.services.with(serviceByName, nameKey(name)) {
		switch have := other.GetSpec().GetName(); {
		case other.GetId() == id:
		case have == name:
			return refuse(alreadyExists, "a service named %q exists already", name)
		default:
			return refuse(alreadyExists, "a service named %q exists already, which is the same as %q in DNS", have, name)
		}
	}
	return nil
}

// Services yields every service, ordered by id.
func (s *State) Services() iter.Seq[*clusterpb.Service] { return s.services.all() }

// PutService creates the service at version 0, or replaces the spec of the
// version named.
func PutService(p *raftpb.PutService) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_PutService{PutService: p}}
}

// DeleteService removes a service and leaves its tasks.
func DeleteService(id string) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_DeleteService{DeleteService: &raftpb.DeleteService{Id: id}}}
}

// putService creates the service at version 0, or replaces spec at the version
// named. The progress of a rollout does not move the version, so that who
// edits a spec is not disturbed by it.
func (tx *tx) putService(p *raftpb.PutService) error {
	name := p.GetSpec().GetName()
	if p.GetId() == "" || name == "" {
		return refuse(invalid, "a service needs an id and a name")
	}
	if err := tx.CheckServiceName(name, p.GetId()); err != nil {
		return err
	}
	old, exists := tx.services.get(p.GetId())
	if err := checkVersion("service "+name, old.GetVersion(), p.GetVersion()); err != nil {
		return err
	}
	if !exists {
		old = &clusterpb.Service{Id: p.GetId(), CreatedAt: timestamppb.New(tx.now)}
	}
	svc, err := tx.respec(old, p)
	if err != nil {
		return err
	}
	switch next := rollout.Respecified(old, svc.GetSpec()); {
	case exists && svc.GetSpecVersion() != old.GetSpecVersion():
		svc.Update = rollout.Begin(p.GetRollback(), p.GetMessage(), tx.now)
		svc.Update.Version = tx.index
	case next != old.GetUpdate():
		svc.Update = next
		svc.Update.Version = tx.index
	}
	set(tx, &tx.services, svc)
	return nil
}

// respec returns what old becomes with another spec and what stands beside it:
// the old one goes into history, and spec_version moves when tasks must be
// replaced.
func (tx *tx) respec(old *clusterpb.Service, next *raftpb.PutService) (*clusterpb.Service, error) {
	ports, err := tx.publishPorts(old, next.GetSpec(), next.GetPorts())
	if err != nil {
		return nil, err
	}
	svc := shallow(old)
	svc.Spec, svc.Images, svc.Restarts, svc.Ports = next.GetSpec(), next.GetImages(), next.GetRestarts(), ports
	svc.Version = tx.index
	svc.UpdatedAt = timestamppb.New(tx.now)
	if old.GetSpec() == nil || replacesTasks(old, svc) {
		svc.SpecVersion = tx.index
	}
	if old.GetSpec() != nil && (svc.GetSpecVersion() != old.GetSpecVersion() || !proto.Equal(old.GetSpec(), svc.GetSpec())) {
		svc.History = rollout.Record(old, svc.GetSpecVersion(), next.GetRollback())
	}
	return svc, nil
}

// replacesTasks reports whether tasks made from the old spec, images and
// restarts are out of date under the next.
func replacesTasks(old, next *clusterpb.Service) bool {
	return !spec.SameTask(old.GetSpec().GetTask(), next.GetSpec().GetTask(), old.GetImages(), next.GetImages()) ||
		!spec.SamePorts(old.GetPorts(), next.GetPorts()) ||
		old.GetRestarts() != next.GetRestarts()
}

// deleteService removes the service. Its tasks stay until they have stopped.
func (tx *tx) deleteService(d *raftpb.DeleteService) error {
	svc, ok := tx.services.get(d.GetId())
	if !ok {
		return refuse(notFound, "service %s is gone", d.GetId())
	}
	remove(tx, &tx.services, svc)
	return nil
}
