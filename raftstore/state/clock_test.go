package state

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
)

// shown are the times that nothing waits by: they stay as they were written.
var shown = []string{
	"cluster.created_at", "cluster.updated_at",
	"cluster.removed_nodes.expires_at", // of a certificate, whatever anybody's clock says
	"network.created_at", "network.updated_at",
	"node.created_at", "node.updated_at",
	"service.created_at", "service.updated_at", "service.history.created_at",
	"service.update.started_at", "service.update.completed_at",
	"task.status.at", "task.status.health.log.start", "task.status.health.log.end", // by the node's clock
}

// times calls visit with each time that a message can hold, after making it.
func times(m protoreflect.Message, path string, visit func(path string, at *timestamppb.Timestamp)) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || f.IsMap() || f.ContainingOneof() != nil {
			continue
		}
		var next protoreflect.Message
		switch {
		case !f.IsList():
			next = m.Mutable(f).Message()
		case m.Get(f).List().Len() == 0:
			next = m.Mutable(f).List().AppendMutable().Message()
		default:
			next = m.Get(f).List().Get(0).Message()
		}
		if at, ok := next.Interface().(*timestamppb.Timestamp); ok {
			visit(path+"."+string(f.Name()), at)
			continue
		}
		times(next, path+"."+string(f.Name()), visit)
	}
}

// TestClockIsSetBack: each time in the state moves with the clock, or is one
// that nothing waits by.
func TestClockIsSetBack(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	const ahead = 24 * time.Hour
	var seen []string
	for _, field := range oneof(new(raftpb.SnapshotItem)) {
		if field.Name() == "end" {
			continue
		}
		item := itemOf(field)
		if item.GetTask() != nil {
			item.GetTask().NodeId = "n1" // which observes it
		}
		object := func(i *raftpb.SnapshotItem) protoreflect.Message { return i.ProtoReflect().Mutable(field).Message() }
		times(object(item), string(field.Name()), func(_ string, at *timestamppb.Timestamp) {
			proto.Merge(at, timestamppb.New(start.Add(ahead)))
		})
		tx := NewState().begin(1, start.Add(ahead))
		if err := tx.restore(item); err != nil {
			t.Fatal(err)
		}
		s, out := tx.commit().Apply(2, &raftpb.Command{ProposedAt: timestamppb.New(start), Changes: []*raftpb.Change{SetClock()}})
		if out.Err != nil || !s.Time.Equal(start) {
			t.Errorf("time is %v, %v, want %v", s.Time, out.Err, start)
		}
		for got := range s.items() {
			times(object(proto.CloneOf(got)), string(field.Name()), func(path string, at *timestamppb.Timestamp) {
				seen = append(seen, path)
				if want := start.Add(ahead); slices.Contains(shown, path) && !at.AsTime().Equal(want) {
					t.Errorf("%s is only shown, and was moved to %v", path, at.AsTime())
				} else if !slices.Contains(shown, path) && !at.AsTime().Equal(start) {
					t.Errorf("%s is %v, want %v: move it, or have it in the list of what nothing waits by", path, at.AsTime(), start)
				}
			})
		}
		if watched := field.Name() != "request"; watched && len(out.Touched) > 0 != changesWithClock(field) {
			t.Errorf("%s: watchers are told of %v", field.Name(), out.Touched)
		}
	}
	for _, path := range shown {
		if !slices.Contains(seen, path) {
			t.Errorf("there is no time %s", path)
		}
	}
}

// changesWithClock reports whether the kind has times that are not only shown.
func changesWithClock(field protoreflect.FieldDescriptor) (changes bool) {
	times(itemOf(field).ProtoReflect().Mutable(field).Message(), string(field.Name()), func(path string, _ *timestamppb.Timestamp) {
		changes = changes || !slices.Contains(shown, path)
	})
	return changes
}

// TestUnassignedTaskIsSetBack: what managers observed of a task without a node
// is by their clock.
func TestUnassignedTaskIsSetBack(t *testing.T) {
	at := timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	for _, node := range []string{"", "n1"} {
		old := &clusterpb.Task{NodeId: node, Status: &clusterpb.TaskStatus{At: at}}
		moved := !proto.Equal(setTaskBack(old, time.Hour).GetStatus().GetAt(), at)
		if want := node == ""; moved != want {
			t.Errorf("on node %q: moved is %v, want %v", node, moved, want)
		}
		if old.GetStatus().GetAt() != at {
			t.Error("the older state was written to")
		}
	}
}

// TestTimeStandsStill: proposals of one leader overtake each other, and clocks
// that are kept right differ a little. No time is before one that was written.
func TestTimeStandsStill(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := NewState()
	for i, tt := range []struct{ proposed, want time.Duration }{
		{0, 0},
		{-slack, 0},
		{-slack - 1, -slack - 1}, // set back
		{-slack, -slack},
		{-2 * slack, -slack},
		{time.Hour, time.Hour},
	} {
		s, _ = s.Apply(uint64(i+1), &raftpb.Command{ProposedAt: timestamppb.New(start.Add(tt.proposed)), Changes: []*raftpb.Change{SetClock()}})
		if got := s.Time.Sub(start); got != tt.want {
			t.Errorf("proposed at %v, time is %v, want %v", tt.proposed, got, tt.want)
		}
	}
}

// TestClockIsNoChange: a user's change that comes too late is refused, and one
// that is answered names its own object, though the clock moved others.
func TestClockIsNoChange(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := NewState()
	apply := func(at time.Time, request string, c *raftpb.Change) Outcome {
		var out Outcome
		s, out = s.Apply(s.Index+1, &raftpb.Command{ProposedAt: timestamppb.New(at), RequestId: request, Changes: []*raftpb.Change{c}})
		return out
	}
	put := func(id string) *raftpb.Change { return PutNode(&raftpb.PutNode{Id: id}) }
	apply(start.Add(time.Hour), "", put("a"))
	if out := apply(start, "r1", put("b")); out.ObjectID != "b" || len(out.Touched) != 2 {
		t.Errorf("answered with %q, and %v are touched, want b, and both", out.ObjectID, out.Touched)
	}
	apply(start.Add(time.Hour), "", put("c"))
	if out := apply(start, "r2", DeleteTask("gone")); out.Err == nil || len(out.Touched) == 0 {
		t.Errorf("a change of nothing: %v, %v are touched", out.Err, out.Touched)
	}
	apply(start.Add(time.Hour), "", put("d"))
	if out := apply(start, "r1", put("b")); out.ObjectID != "b" || len(out.Touched) == 0 {
		t.Errorf("asked again: %q, %v are touched", out.ObjectID, out.Touched)
	}
}

// TestRequestsAreForgottenAfterAClockThatWasAhead: one of them had held up the
// pruning of all that came later.
func TestRequestsAreForgottenAfterAClockThatWasAhead(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tx := NewState().begin(1, start.Add(24*time.Hour))
	for range keepRequests + 1 {
		tx.index++
		tx.remember(Request{ID: appliedOrder(&raftpb.AppliedRequest{Index: tx.index})}, Outcome{})
	}
	s := tx.commit()
	for i, at := range []time.Duration{0, keepRequestsFor} {
		s, _ = s.Apply(s.Index+1, &raftpb.Command{
			ProposedAt: timestamppb.New(start.Add(at)), RequestId: string(rune('a' + i)), Changes: []*raftpb.Change{SetClock()},
		})
	}
	if got := s.requests.len(); got != keepRequests+1 {
		t.Errorf("%d requests are remembered, want the oldest forgotten after %v", got, keepRequestsFor)
	}
}
