package slot

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// Template is what new tasks of a slot are made from.
type Template struct {
	ServiceID, ServiceName string
	// ServiceLabels are for the templates of Spec; nil when none asks for them.
	ServiceLabels map[string]string

	Spec        *clusterpb.TaskSpec
	SpecVersion uint64
	Images      []*clusterpb.ResolvedImage
	Restarts    uint64
	Ports       []*clusterpb.Port
}

// Current is the template of the service's present spec.
func Current(svc *clusterpb.Service) Template {
	t := Template{
		ServiceID: svc.GetId(), ServiceName: svc.GetSpec().GetName(),
		Spec: svc.GetSpec().GetTask(), SpecVersion: svc.GetSpecVersion(),
		Images: svc.GetImages(), Restarts: svc.GetRestarts(), Ports: svc.GetPorts(),
	}
	if spec.NamesLabels(t.Spec) {
		t.ServiceLabels = svc.GetSpec().GetLabels()
	}
	return t
}

// Task returns a new task for slot number, wanted at once. Its creation time
// is after that of every task of the slot, even if this leader's clock is behind.
func (t Template) Task(id string, number uint32, tasks []*clusterpb.Task, now time.Time) *clusterpb.Task {
	created := now
	for _, old := range tasks {
		if at := old.GetCreatedAt().AsTime(); !at.Before(created) {
			created = at.Add(time.Nanosecond)
		}
	}
	return &clusterpb.Task{
		Id: id, CreatedAt: timestamppb.New(created),
		ServiceId: t.ServiceID, ServiceName: t.ServiceName, ServiceLabels: t.ServiceLabels, Slot: number,
		Spec: t.Spec, SpecVersion: t.SpecVersion, Images: t.Images, Restarts: t.Restarts, Ports: t.Ports,
		Desired: lifecycle.Running,
		Status:  &clusterpb.TaskStatus{State: lifecycle.New, At: timestamppb.New(now), AppliedAt: timestamppb.New(now)},
	}
}

// Successor is a new task in the place of old.
func (t Template) Successor(id string, s Slot, old *clusterpb.Task, now time.Time) *clusterpb.Task {
	next := t.Task(id, s.Number, s.Tasks, now)
	next.Predecessor, next.Restarted = old.GetId(), t.Restarted(old, now)
	return next
}

// HoldBack makes a new task be prepared and then wait until its predecessor
// has stopped.
func HoldBack(t *clusterpb.Task) *clusterpb.Task {
	t.Desired, t.Hold = lifecycle.Ready, true
	return t
}

// Desire is the change that raises what is desired of a task; reason is shown to people.
func Desire(t *clusterpb.Task, desired clusterpb.TaskState, reason string) *raftpb.Change {
	return state.SetDesired(t.GetId(), desired, reason)
}
