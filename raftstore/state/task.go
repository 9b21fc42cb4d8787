package state

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

const (
	taskByService = iota
	taskByNode
	taskByAddress // tasks that have not ended
	taskUnassigned
)

// KindTask is of tasks.
const KindTask Kind = "task"

func taskKind() *kind[*clusterpb.Task] {
	return &kind[*clusterpb.Task]{
		name: KindTask,
		key:  (*clusterpb.Task).GetId,
		indexes: []func(*clusterpb.Task) []string{
			taskByService: func(t *clusterpb.Task) []string { return []string{t.GetServiceId()} },
			taskByNode: func(t *clusterpb.Task) []string {
				if t.GetNodeId() == "" {
					return nil
				}
				return []string{t.GetNodeId()}
			},
			taskByAddress: func(t *clusterpb.Task) []string {
				if lifecycle.Ended(t.GetStatus().GetState()) {
					return nil
				}
				return network.Addresses(t.GetAttachments())
			},
			taskUnassigned: func(t *clusterpb.Task) []string {
				if t.GetNodeId() != "" || !lifecycle.Wanted(t) || t.GetDesired() == lifecycle.Pending {
					return nil
				}
				return []string{""}
			},
		},
		item: func(t *clusterpb.Task) *raftpb.SnapshotItem {
			return &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Task{Task: t}}
		},
		object:  (*raftpb.SnapshotItem).GetTask,
		restore: (*tx).shareSpec,
		setBack: setTaskBack,
		belongs: func(t *clusterpb.Task) (owner, node string) { return t.GetServiceId(), t.GetNodeId() },
	}
}

// setTaskBack moves the times of a task that leaders wrote. When the task itself
// was observed is a matter of its node's clock.
func setTaskBack(old *clusterpb.Task, by time.Duration) *clusterpb.Task {
	t := shallow(old)
	earlier(by, &t.CreatedAt, &t.DesiredAt, &t.StartAfter, &t.RunningAt)
	if t.GetStatus() == nil {
		return t
	}
	t.Status = shallow(t.GetStatus())
	earlier(by, &t.Status.AppliedAt)
	if t.GetNodeId() == "" {
		earlier(by, &t.Status.At)
	}
	return t
}

// Task returns the task with that id.
func (s *State) Task(id string) (*clusterpb.Task, bool) { return s.tasks.get(id) }

// Tasks yields every task, ordered by id.
func (s *State) Tasks() iter.Seq[*clusterpb.Task] { return s.tasks.all() }

// TasksAfter yields the tasks with an id above that, ordered by id: those of a
// service, else those assigned to a node, else all.
func (s *State) TasksAfter(id, serviceID, nodeID string) iter.Seq[*clusterpb.Task] {
	switch {
	case serviceID != "":
		return s.tasks.withAfter(taskByService, serviceID, id)
	case nodeID != "":
		return s.tasks.withAfter(taskByNode, nodeID, id)
	}
	return s.tasks.after(id)
}

// TasksOf yields the tasks of one service, ordered by id.
func (s *State) TasksOf(serviceID string) iter.Seq[*clusterpb.Task] {
	return s.tasks.with(taskByService, serviceID)
}

// TasksOn yields the tasks assigned to one node, ordered by id, those that
// have ended included.
func (s *State) TasksOn(nodeID string) iter.Seq[*clusterpb.Task] {
	return s.tasks.with(taskByNode, nodeID)
}

// UnassignedTasks yields the tasks that wait for a node and are still wanted,
// ordered by id.
func (s *State) UnassignedTasks() iter.Seq[*clusterpb.Task] {
	return s.tasks.with(taskUnassigned, "")
}

// AddressUsed reports whether a task that has not ended has the address.
func (s *State) AddressUsed(addr string) bool { return s.tasks.has(taskByAddress, addr) }

// Addresses yields the addresses of all tasks that have not ended, each once,
// in the order of their text.
func (s *State) Addresses() iter.Seq[string] { return s.tasks.values(taskByAddress) }

// CreateTask adds a task, in state NEW unless t has another.
func CreateTask(t *clusterpb.Task) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_CreateTask{CreateTask: &raftpb.CreateTask{Task: t}}}
}

// AssignTask places a task that has no node, and attaches it to networks.
func AssignTask(id, nodeID string, attachments []*clusterpb.Attachment) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_AssignTask{
		AssignTask: &raftpb.AssignTask{Id: id, NodeId: nodeID, Attachments: attachments},
	}}
}

// SetDesired raises the desired state of a task; reason is shown to people.
func SetDesired(id string, desired clusterpb.TaskState, reason string) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_SetDesired{SetDesired: &raftpb.SetDesired{Id: id, Desired: desired, Reason: reason}}}
}

// ObserveTask records what was seen of a task; status replaces the one known.
func ObserveTask(id string, status *clusterpb.TaskStatus) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_ObserveTask{ObserveTask: &raftpb.ObserveTask{Id: id, Status: status}}}
}

// DeleteTask removes a task.
func DeleteTask(id string) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_DeleteTask{DeleteTask: &raftpb.DeleteTask{Id: id}}}
}

// createTask adds a task; it is skipped when the id exists.
func (tx *tx) createTask(c *raftpb.CreateTask) error {
	next := c.GetTask()
	if next.GetId() == "" {
		return refuse(invalid, "a task needs an id")
	}
	if _, exists := tx.tasks.get(next.GetId()); exists {
		return nil
	}
	t := shallow(next)
	if err := tx.attach(t, next.GetAttachments()); err != nil {
		return err
	}
	tx.shareSpec(t)
	now := timestamppb.New(tx.now)
	if t.GetCreatedAt() == nil {
		// Orchestrators give it: later than the slot's other tasks, though this
		// leader's clock may be behind the last one's.
		t.CreatedAt = now
	}
	t.DesiredIndex, t.DesiredAt = tx.index, now
	t.Status = &clusterpb.TaskStatus{State: lifecycle.New, At: now}
	if next.GetStatus().GetState() != clusterpb.TaskState_TASK_STATE_UNSPECIFIED {
		t.Status = shallow(next.GetStatus())
	}
	t.Status.AppliedAt = now
	tx.setTask(t)
	return nil
}

// shareSpec lets the tasks of a service have one spec in memory between them.
func (tx *tx) shareSpec(t *clusterpb.Task) {
	if svc, ok := tx.services.get(t.GetServiceId()); ok && proto.Equal(svc.GetSpec().GetTask(), t.GetSpec()) {
		t.Spec = svc.GetSpec().GetTask()
	}
}

// assignTask places a task. It is skipped when the task has a node, is gone or
// is not wanted any more, and when the node is gone: whoever schedules sees it
// still unassigned and chooses again.
func (tx *tx) assignTask(a *raftpb.AssignTask) error {
	old, ok := tx.tasks.get(a.GetId())
	if !ok || old.GetNodeId() != "" || !lifecycle.Wanted(old) {
		return nil
	}
	if _, ok := tx.nodes.get(a.GetNodeId()); !ok {
		return nil
	}
	t := shallow(old)
	if err := tx.attach(t, a.GetAttachments()); err != nil {
		return err
	}
	t.NodeId = a.GetNodeId()
	now := timestamppb.New(tx.now)
	t.Status = &clusterpb.TaskStatus{State: lifecycle.Assigned, At: now, AppliedAt: now}
	tx.setTask(t)
	return nil
}

// attach gives the task its addresses in each network. A conflict means that
// the allocator looked at an older state.
func (tx *tx) attach(t *clusterpb.Task, attachments []*clusterpb.Attachment) error {
	t.Attachments = nil
	for _, a := range attachments {
		if _, ok := tx.networks.get(a.GetNetworkId()); !ok {
			return refuse(conflict, "network %s of task %s is gone", a.GetNetworkId(), t.GetId())
		}
		claimed := &clusterpb.Attachment{NetworkId: a.GetNetworkId()}
		t.Attachments = append(t.Attachments, claimed)
		for _, text := range a.GetAddresses() {
			addr, err := tx.claimAddress(t, text)
			if err != nil {
				return err
			}
			claimed.Addresses = append(claimed.Addresses, addr)
		}
	}
	return nil
}

// claimAddress returns the address in the one form that addresses are compared
// in, unless the task or another has it.
func (tx *tx) claimAddress(t *clusterpb.Task, text string) (string, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "", refuse(invalid, "task %s: %q is not an IP address", t.GetId(), text)
	}
	text = addr.String()
	for other := range tx.tasks.with(taskByAddress, text) {
		return "", refuse(conflict, "address %s is in use by task %s", text, other.GetId())
	}
	if slices.Contains(network.Addresses(t.GetAttachments()), text) {
		return "", refuse(invalid, "task %s: address %s is given twice", t.GetId(), text)
	}
	return text, nil
}

// setDesired raises the desired state; it is skipped when that is as high
// already or the task is gone.
func (tx *tx) setDesired(d *raftpb.SetDesired) error {
	if old, ok := tx.tasks.get(d.GetId()); ok {
		tx.raise(old, d.GetDesired(), d.GetReason())
	}
	return nil
}

func (tx *tx) raise(old *clusterpb.Task, desired clusterpb.TaskState, reason string) {
	if !lifecycle.Raises(old.GetDesired(), desired) {
		return
	}
	t := shallow(old)
	t.Desired, t.DesiredReason = desired, reason
	t.DesiredIndex, t.DesiredAt = tx.index, timestamppb.New(tx.now)
	tx.setTask(t)
}

// observeTask records what was seen of a task; it is skipped when that is
// behind what is known, or nothing new, or when the task is gone.
func (tx *tx) observeTask(o *raftpb.ObserveTask) error {
	old, ok := tx.tasks.get(o.GetId())
	status := o.GetStatus()
	if !ok || !lifecycle.Advances(old.GetStatus().GetState(), status.GetState()) {
		return nil
	}
	next := shallow(status)
	if next.GetState() == lifecycle.Shutdown && old.GetDesired() < lifecycle.Shutdown {
		// Nobody asked for it: it is a matter for the restart policy, which waits
		// before the next attempt.
		next.State, next.Err = lifecycle.Failed, cmp.Or(next.GetErr(), "its node stopped it, and nobody had asked for that")
	}
	next.AppliedAt = old.GetStatus().GetAppliedAt()
	if next.GetState() != old.GetStatus().GetState() {
		next.AppliedAt = timestamppb.New(tx.now)
	}
	if proto.Equal(old.GetStatus(), next) {
		return nil
	}
	t := shallow(old)
	t.Status = next
	if next.GetState() == lifecycle.Running && t.GetRunningAt() == nil {
		t.RunningAt = timestamppb.New(tx.now)
	}
	tx.setTask(t)
	return nil
}

// orphanTasks ends the tasks of a node that is being removed.
func (tx *tx) orphanTasks(n *clusterpb.Node) {
	// Collected first, for the table must not be written while it is read.
	for _, old := range slices.Collect(tx.tasks.with(taskByNode, n.GetId())) {
		if lifecycle.Ended(old.GetStatus().GetState()) {
			continue
		}
		status := shallow(old.GetStatus())
		status.State = lifecycle.Orphaned
		status.At, status.AppliedAt = timestamppb.New(tx.now), timestamppb.New(tx.now)
		status.Message = ""
		status.Err = "node " + cmp.Or(n.GetDescription().GetHostname(), n.GetId()) + " was removed"
		t := shallow(old)
		t.Status = status
		tx.setTask(t)
	}
}

// deleteTask removes a task; it is skipped when the task is gone.
func (tx *tx) deleteTask(d *raftpb.DeleteTask) error {
	if old, ok := tx.tasks.get(d.GetId()); ok {
		remove(tx, &tx.tasks, old)
	}
	return nil
}

func (tx *tx) setTask(t *clusterpb.Task) {
	t.Version = tx.index
	set(tx, &tx.tasks, t)
}
