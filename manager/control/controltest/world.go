// Package controltest runs controllers without goroutines, raft or a clock of
// their own: a state, a time, and plans applied until nothing is left to do.
package controltest

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/control"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/rollout"
	"github.com/muster/muster/raftstore/state"
)

// World is a cluster's state at a time.
type World struct {
	State *state.State
	Now   time.Time
	// Changes counts what was applied.
	Changes int

	t     TB
	index uint64
	ids   int
	again map[string]time.Time // when plans asked to be called again
}

// TB is what a World needs of a test; rapid's tests have it too.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

var _ TB = (*testing.T)(nil)

// New returns the empty cluster on a day long ago.
func New(t TB) *World {
	return &World{
		State: state.NewState(), t: t, again: make(map[string]time.Time),
		Now: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// ID returns an id that is new.
func (w *World) ID() string {
	w.ids++
	return fmt.Sprintf("t%04d", w.ids)
}

// Apply commits changes as one command, which must not be refused.
func (w *World) Apply(changes ...*raftpb.Change) {
	w.t.Helper()
	if err := w.Try(changes...); err != nil {
		w.t.Fatalf("apply %v: %v", changes, err)
	}
}

// Try commits changes as one command.
func (w *World) Try(changes ...*raftpb.Change) error {
	w.index++
	w.Changes += len(changes)
	cmd := &raftpb.Command{ProposedAt: timestamppb.New(w.Now), Changes: changes}
	// As through the log: the state shares nothing with the proposer.
	next, out := w.State.Apply(w.index, proto.CloneOf(cmd))
	w.State = next
	return out.Err
}

// rounds bounds how often controllers take turns before they must agree.
const rounds = 50

// Settle lets the controllers take turns until none has anything to do.
func (w *World) Settle(controllers ...*control.Controller) {
	w.t.Helper()
	for range rounds {
		if !w.Turn(controllers...) {
			return
		}
	}
	w.t.Fatalf("the controllers do not agree after %d rounds", rounds)
}

// Turn lets each controller plan every key once and tells whether any of them
// changed something.
func (w *World) Turn(controllers ...*control.Controller) (busy bool) {
	w.t.Helper()
	for _, c := range controllers {
		for _, key := range c.Keys(w.State) {
			changes, again := c.Plan(w.State, key, w.Now)
			w.again[c.Name+"/"+key] = w.Now.Add(again)
			if again == 0 {
				delete(w.again, c.Name+"/"+key)
			}
			if len(changes) > 0 {
				w.Apply(changes...)
				busy = true
			}
		}
	}
	return busy
}

// Due is the earliest time a controller asked to be called again at; ok is
// false when none did.
func (w *World) Due() (at time.Time, ok bool) {
	for _, t := range w.again {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	return at, ok
}

// AddNode adds a node that is ready, with plenty of everything.
func (w *World) AddNode(id string, change ...func(*clusterpb.Node)) {
	w.t.Helper()
	n := &clusterpb.Node{
		Id:   id,
		Role: clusterpb.NodeRole_NODE_ROLE_WORKER,
		Spec: &clusterpb.NodeSpec{},
		Description: &clusterpb.NodeDescription{
			Hostname:  id,
			Platform:  &clusterpb.Platform{Os: "linux", Architecture: "amd64"},
			Resources: &clusterpb.Resources{NanoCpus: 64e9, MemoryBytes: 1 << 40},
		},
		Status: &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_READY},
	}
	for _, f := range change {
		f(n)
	}
	w.putNode(n)
	w.Apply(state.ObserveNode(&raftpb.ObserveNode{Id: id, Description: n.GetDescription(), Status: n.GetStatus()}))
}

// SetNode says what is observed of a node.
func (w *World) SetNode(id string, to clusterpb.NodeStatus_State) {
	w.t.Helper()
	w.Apply(state.ObserveNode(&raftpb.ObserveNode{Id: id, Status: &clusterpb.NodeStatus{State: to}}))
}

// EditNode changes a node's spec.
func (w *World) EditNode(id string, change func(*clusterpb.NodeSpec)) {
	w.t.Helper()
	old, _ := w.State.Node(id)
	n := proto.CloneOf(old)
	change(n.Spec)
	w.putNode(n)
}

func (w *World) putNode(n *clusterpb.Node) {
	w.t.Helper()
	w.Apply(state.PutNode(&raftpb.PutNode{
		Id: n.GetId(), Version: n.GetVersion(), Spec: n.GetSpec(), Role: n.GetRole(), RaftAddr: n.GetRaftAddr(),
	}))
}

// Put creates or replaces a service as the control API does: by its present version.
func (w *World) Put(id string, change func(*clusterpb.ServiceSpec)) {
	w.t.Helper()
	w.put(id, func(p *raftpb.PutService) { change(p.Spec) })
}

// Restart replaces all tasks of a service as the control API does.
func (w *World) Restart(id string) {
	w.t.Helper()
	next := rollout.NextRestart(w.Service(id))
	w.put(id, func(p *raftpb.PutService) { p.Restarts = next })
}

func (w *World) put(id string, change func(*raftpb.PutService)) {
	w.t.Helper()
	put := &raftpb.PutService{Id: id, Spec: &clusterpb.ServiceSpec{
		Name: id, Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "v1"}}},
		Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 1}},
	}}
	if old, ok := w.State.Service(id); ok {
		put.Version, put.Spec, put.Restarts = old.GetVersion(), proto.CloneOf(old.GetSpec()), old.GetRestarts()
	}
	change(put)
	w.Apply(state.PutService(put))
}

// Service returns a service that must exist.
func (w *World) Service(id string) *clusterpb.Service {
	w.t.Helper()
	svc, ok := w.State.Service(id)
	if !ok {
		w.t.Fatalf("service %s is gone", id)
	}
	return svc
}

// Observe reports a task's state as its worker would, with an error for those that need one.
func (w *World) Observe(t *clusterpb.Task, to clusterpb.TaskState) {
	w.t.Helper()
	status := &clusterpb.TaskStatus{State: to, At: timestamppb.New(w.Now)}
	switch to {
	case lifecycle.Failed:
		status.Containers = []*clusterpb.ContainerStatus{{ExitCode: 1}}
	case lifecycle.Rejected:
		status.Err = "no such image"
	case lifecycle.New, lifecycle.Pending, lifecycle.Assigned, lifecycle.Accepted, lifecycle.Preparing, lifecycle.Ready,
		lifecycle.Starting, lifecycle.Running, lifecycle.Complete, lifecycle.Shutdown, lifecycle.Remove, lifecycle.Orphaned,
		clusterpb.TaskState_TASK_STATE_UNSPECIFIED:
	}
	w.Apply(state.ObserveTask(t.GetId(), status))
}

// Next is the state that a perfect worker reports for a task, in one step.
func Next(t *clusterpb.Task, nodes func(string) (*clusterpb.Node, bool)) clusterpb.TaskState {
	observed := t.GetStatus().GetState()
	n, ok := nodes(t.GetNodeId())
	switch {
	case !ok || n.GetStatus().GetState() != clusterpb.NodeStatus_STATE_READY || lifecycle.Ended(observed):
		return observed
	case t.GetDesired() >= lifecycle.Shutdown:
		return lifecycle.Shutdown
	case observed < t.GetDesired():
		return t.GetDesired()
	}
	return observed
}
