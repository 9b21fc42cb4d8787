package update

import (
	"cmp"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// What an update does to a slot.
const (
	Keep    = "keep"
	Replace = "replace"
	Create  = "create"
	Remove  = "remove"
)

// Preview returns what putting next, a version of svc with another spec and
// its ports filled in, would do to each slot, ordered by number. It follows the
// rules that the orchestrators follow afterwards.
func Preview(svc, next *clusterpb.Service, tasks []*clusterpb.Task, nodes slot.Nodes) (plan []*controlpb.PlannedSlot) {
	next = proto.CloneOf(next)
	next.Id = svc.GetId()
	next.SpecVersion = math.MaxUint64 // no task has it: all are compared by content
	p := newPlanner(next, tasks, nodes, nil, svc.GetUpdatedAt().AsTime())
	replicas := next.GetSpec().GetReplicated().GetReplicas()
	gone := make(map[uint32]bool)
	for _, s := range slot.Surplus(p.slots, replicas) {
		gone[s.Number] = true
	}
	taken := make(map[uint32]bool)
	for _, s := range p.slots {
		taken[s.Number] = true
		action := Keep
		switch {
		case gone[s.Number]:
			action = Remove
		case p.dirty(s):
			action = Replace
		}
		t := shown(s)
		plan = append(plan, &controlpb.PlannedSlot{Slot: s.Number, Action: action, TaskId: t.GetId(), NodeId: t.GetNodeId()})
	}
	missing := int(replicas) - len(p.slots)
	for n := uint32(1); missing > 0; n++ {
		if !taken[n] {
			plan = append(plan, &controlpb.PlannedSlot{Slot: n, Action: Create})
			missing--
		}
	}
	slices.SortFunc(plan, func(a, b *controlpb.PlannedSlot) int { return cmp.Compare(a.GetSlot(), b.GetSlot()) })
	return plan
}

// shown is the task that stands for a slot: the one that serves, else the newest.
func shown(s slot.Slot) *clusterpb.Task {
	if t := s.Serving(); t != nil {
		return t
	}
	return s.Newest()
}
