package scheduler

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/allocator"
	"github.com/muster/muster/manager/control"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// everything is the scheduler's only key: placements depend on each other.
const everything = "tasks"

// settle is the least time between two reasons written for one task. Reasons
// count nodes, which come and go.
const settle = 5 * time.Second

// Controller returns the scheduler.
func Controller() *control.Controller {
	return &control.Controller{
		Name:   "scheduler",
		Keys:   func(*state.State) []string { return []string{everything} },
		KeysOf: keysOf,
		Plan: func(s *state.State, _ string, now time.Time) ([]*raftpb.Change, time.Duration) {
			return plan(s, now)
		},
	}
}

// keysOf wakes the scheduler when tasks wait and the change may matter to
// them: a new task, one that gave back what it held, or a node.
func keysOf(s *state.State, ref state.Ref) []string {
	if ref.Kind == state.KindTask {
		t, ok := s.Task(ref.ID)
		if ok && t.GetNodeId() != "" && t.GetDesired() <= lifecycle.Running && !lifecycle.Ended(t.GetStatus().GetState()) {
			return nil
		}
	}
	for range s.UnassignedTasks() {
		return []string{everything}
	}
	return nil
}

// plan places every task that waits for a node.
func plan(s *state.State, now time.Time) (changes []*raftpb.Change, again time.Duration) {
	groups := waiting(s)
	if len(groups) == 0 {
		return nil, 0
	}
	c, addresses := survey(s, groups, now), allocator.New(s)
	for _, g := range groups {
		changes = append(changes, c.place(g, addresses, now)...)
		if g.unsettled {
			again = settle
		}
	}
	return changes, again
}

// place gives each task of a group a node, and has addresses given to it.
func (c *cluster) place(g *group, addresses *allocator.Allocator, now time.Time) (changes []*raftpb.Change) {
	g.judge(c)
	var left []*clusterpb.Task
	for _, t := range g.tasks {
		h := g.pick(t, c)
		if h == nil {
			left = append(left, t)
			continue
		}
		attachments, err := addresses.Attach(t)
		if err != nil {
			changes = append(changes, g.postpone([]*clusterpb.Task{t}, err.Error(), now)...)
			continue
		}
		h.take(t)
		g.placed(h)
		changes = append(changes, state.AssignTask(t.GetId(), h.node.GetId(), attachments))
	}
	if len(left) > 0 {
		changes = append(changes, g.postpone(left, g.explain(), now)...)
	}
	return changes
}

// postpone writes why tasks wait, unless they say so already or said
// something else only just now.
func (g *group) postpone(tasks []*clusterpb.Task, reason string, now time.Time) (changes []*raftpb.Change) {
	for _, t := range tasks {
		status := t.GetStatus()
		if status.GetState() == lifecycle.Pending {
			if status.GetErr() == reason {
				continue
			}
			if now.Sub(status.GetAt().AsTime()) < settle {
				g.unsettled = true
				continue
			}
		}
		next := proto.CloneOf(status)
		if next == nil {
			next = new(clusterpb.TaskStatus)
		}
		next.State, next.Err, next.At = lifecycle.Pending, reason, timestamppb.New(now)
		changes = append(changes, state.ObserveTask(t.GetId(), next))
	}
	return changes
}
