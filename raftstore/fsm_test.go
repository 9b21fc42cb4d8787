package raftstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// entry makes a log entry as the leader would.
func entry(t testing.TB, index uint64, c ...*raftpb.Change) *raft.Log {
	t.Helper()
	at := storetest.Start().Add(time.Duration(index) * time.Second)
	data, err := proto.Marshal(&raftpb.Command{ProposedAt: timestamppb.New(at), Changes: c})
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Type: raft.LogCommand, Data: data}
}

func TestBatchWakesOnce(t *testing.T) {
	f := raftstore.NewFSM()
	sub := f.Subscribe()
	defer sub.Close()
	answers := f.ApplyBatch([]*raft.Log{
		entry(t, 3, node("n1"), task("t1", "s1")),
		{Index: 4, Type: raft.LogConfiguration},
		entry(t, 5, node("n1")), // refused
		entry(t, 6, state.AssignTask("t1", "n1", nil)),
	})
	if len(answers) != 4 || answers[1] != nil {
		t.Fatalf("answers %v", answers)
	}
	if err := answers[2].(state.Outcome).Err; err == nil || answers[3].(state.Outcome).Err != nil {
		t.Errorf("answers %v", answers)
	}
	if got := f.State().Index; got != 6 {
		t.Errorf("index %d, want 6", got)
	}
	if want := storetest.Start().Add(6 * time.Second); !f.State().Time.Equal(want) {
		t.Errorf("time %v, want %v", f.State().Time, want)
	}
	<-sub.C
	want := map[state.Ref]struct{}{
		{Kind: state.KindNode, ID: "n1"}:                          {},
		{Kind: state.KindTask, ID: "t1", Owner: "s1"}:             {},
		{Kind: state.KindTask, ID: "t1", Owner: "s1", Node: "n1"}: {},
	}
	if d := cmp.Diff(want, sub.Take()); d != "" {
		t.Errorf("taken (-want +got):\n%s", d)
	}
	select {
	case <-sub.C:
		t.Error("woken twice")
	default:
	}
}

func TestSubscriptionIsBoundedAndLosesNothing(t *testing.T) {
	f := raftstore.NewFSM()
	all, nodes := f.Subscribe(), f.SubscribeTo(func(r state.Ref) bool { return r.Kind == state.KindNode })
	f.Apply(entry(t, 1, node("n1"), task("t1", "s1"), state.AssignTask("t1", "n1", nil)))
	for i := uint64(2); i < 1000; i++ {
		f.Apply(entry(t, i, observe("t1", lifecycle.Preparing, fmt.Sprint(i))))
	}
	if got := len(all.Take()); got != 3 {
		t.Errorf("%d refs of a node and a task, want 3", got)
	}
	if got := len(nodes.Take()); got != 1 {
		t.Errorf("%d refs of a node, want 1", got)
	}
	<-nodes.C
	f.Apply(entry(t, 1000, state.DeleteTask("t1")))
	select {
	case <-nodes.C:
		t.Error("woken for what does not match")
	default:
	}
	want := map[state.Ref]struct{}{{Kind: state.KindTask, ID: "t1", Owner: "s1", Node: "n1"}: {}}
	if d := cmp.Diff(want, all.Take()); d != "" {
		t.Errorf("deleted (-want +got):\n%s", d)
	}
	all.Close()
	f.Apply(entry(t, 1001, node("n2")))
	if got := all.Take(); len(got) != 0 {
		t.Errorf("a closed subscription collected %v", got)
	}
}

func TestUnknownEntriesStopTheReplica(t *testing.T) {
	tests := map[string]*raft.Log{
		"no command":     {Index: 1, Type: raft.LogCommand, Data: []byte("\xff\xff")},
		"unknown change": entry(t, 1, &raftpb.Change{}),
	}
	for name, l := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("the replica went on without the entry")
				}
			}()
			raftstore.NewFSM().Apply(l)
		})
	}
}

func TestOldStatesStay(t *testing.T) {
	f := raftstore.NewFSM()
	f.Apply(entry(t, 1, storetest.Ingress(), node("n1"), task("t1", "s1")))
	old := f.State()
	was := storetest.Content(t, old)
	f.Apply(entry(t, 2, state.AssignTask("t1", "n1", storetest.Attached("10.0.0.1")), observe("t1", lifecycle.Running, ""), node("n2")))
	f.Apply(entry(t, 3, state.DeleteTask("t1"), state.DeleteNode("n1", nil)))
	if now := storetest.Content(t, old); now != was {
		t.Errorf("an old state changed from\n%s\nto\n%s", was, now)
	}
}
