package restart

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// After returns the changes that follow from the end of the slot's newest
// task, which ended by itself: a replacement made from next, or the mark that
// there is none.
func After(next slot.Template, s slot.Slot, id func() string, now time.Time) []*raftpb.Change {
	last := s.Newest()
	d := Decide(next, s)
	if !d.Again {
		if last.GetDesired() >= lifecycle.Shutdown {
			return nil // said before
		}
		return []*raftpb.Change{slot.Desire(last, lifecycle.Shutdown, d.Reason)}
	}
	return []*raftpb.Change{state.CreateTask(replacement(next.Successor(id(), s, last, now), last, d, now))}
}

// replacement is prepared while it waits, unless it is preparing that failed:
// then it would fail at once, and be replaced at once, without end.
func replacement(t, last *clusterpb.Task, d Decision, now time.Time) *clusterpb.Task {
	t.Attempt = d.Attempt
	t.Restarted++
	t.DesiredReason = d.Reason
	if d.After.After(now) {
		t.Desired = lifecycle.Ready
		if last.GetStatus().GetState() == lifecycle.Rejected {
			t.Desired = lifecycle.Pending
		}
		t.StartAfter = timestamppb.New(d.After)
		t.Status.Err = d.Reason
	}
	return t
}
