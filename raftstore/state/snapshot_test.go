package state_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// story is a log in which many kinds of change occur.
func story() []*raftpb.Command {
	start := storetest.Start()
	expiry := timestamppb.New(start.Add(1000 * time.Hour))
	updating := &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_UPDATING, Slots: 2, Progress: []*clusterpb.SlotUpdate{{Slot: 1}}}
	log := [][]*raftpb.Change{
		{cluster(), storetest.Ingress("10.0.0.0/16", "fd00::/64")},
		{node("n1"), node("n2"), node("n3"), service("s1", "web", ingress(0), udp(host(53))), service("s2", "db")},
		{task("t1", "s1"), task("t2", "s1"), task("t3", "s2")},
		{state.AssignTask("t1", "n1", storetest.Attached("10.0.0.1", "fd00::1")), state.AssignTask("t2", "n2", nil)},
		{observe("t1", lifecycle.Running), observe("t2", lifecycle.Failed), state.SetDesired("t2", lifecycle.Remove, "")},
		{service("s9", "web")}, // refused
		{serviceAt("s1", "web", 2, ingress(8111))},
		{state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 7}, updating)},
		{state.ObserveNode(&raftpb.ObserveNode{
			Id:          "n1",
			Description: &clusterpb.NodeDescription{Hostname: "h1", Labels: map[string]string{"b": "1", "a": "2", "c": "3"}},
			Status:      &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_READY},
		})},
		{
			state.PutClusterSpec(1, &clusterpb.ClusterSpec{TaskHistoryLimit: new(int32(2))}),
			state.RotateGossipKeys(1, [][]byte{{1}, {2}}), state.RotateJoinSecret(clusterpb.NodeRole_NODE_ROLE_WORKER, "w2"),
		},
		{state.DeleteTask("t3"), state.DeleteService("s2"), state.DeleteNode("n2", expiry)},
		{state.RollBack("s1", 7, &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED},
			&clusterpb.SpecRecord{
				Spec:     &clusterpb.ServiceSpec{Name: "web", Labels: map[string]string{"z": "1", "y": "2", "x": "3"}},
				Images:   []*clusterpb.ResolvedImage{{Image: "nginx", Pinned: "nginx:latest@sha256:1"}},
				Restarts: 2,
			})},
	}
	return commands(log)
}

// replay folds a log of length-delimited commands.
func replay(t testing.TB, log []byte) *state.State {
	t.Helper()
	r := bytes.NewReader(log)
	s := state.NewState()
	for r.Len() > 0 {
		cmd := new(raftpb.Command)
		if err := protodelim.UnmarshalFrom(r, cmd); err != nil {
			t.Fatal(err)
		}
		s, _ = s.Apply(s.Index+1, cmd)
	}
	return s
}

func storyLog(t testing.TB) []byte {
	t.Helper()
	return encode(t, story())
}

func TestReplicasAreEqualToTheByte(t *testing.T) {
	for name, log := range goldenFiles(t, goldenLog) {
		t.Run(name, func(t *testing.T) {
			first := storetest.Snapshot(t, replay(t, log))
			for range 20 { // map order differs from run to run
				if !bytes.Equal(first, storetest.Snapshot(t, replay(t, log))) {
					t.Fatal("two replicas of one log differ")
				}
			}
			restored, err := state.ReadSnapshot(bytes.NewReader(first))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, storetest.Snapshot(t, restored)) {
				t.Error("a restored replica differs")
			}
		})
	}
}

// TestRestoredReplicaGoesOnAlike restores in the middle of the log.
func TestRestoredReplicaGoesOnAlike(t *testing.T) {
	whole := replay(t, storyLog(t))
	commands := story()
	for at := range commands {
		s := state.NewState()
		for i, cmd := range story() {
			if i == at {
				var err error
				if s, err = state.ReadSnapshot(bytes.NewReader(storetest.Snapshot(t, s))); err != nil {
					t.Fatal(err)
				}
			}
			s, _ = s.Apply(s.Index+1, cmd)
		}
		if !bytes.Equal(storetest.Snapshot(t, whole), storetest.Snapshot(t, s)) {
			t.Errorf("restored before entry %d: differs", at+1)
		}
	}
}

func TestGoldenFiles(t *testing.T) {
	restored := restoreGolden(t, "story", story())
	if restored.Index != 12 || !restored.Time.Equal(storetest.Start().Add(11*time.Second)) {
		t.Errorf("index %d at %v", restored.Index, restored.Time)
	}
	for name, n := range map[string]int{"cluster:": 1, "secrets:": 1, "network:": 1, "node:": 2, "service:": 1, "task:": 2, "request:": 8} {
		if got := strings.Count("\n"+storetest.Content(t, restored), "\n"+name); got != n {
			t.Errorf("%d of %s restored, want %d", got, name, n)
		}
	}
}

func TestDamagedSnapshotIsRefused(t *testing.T) {
	whole := storetest.Snapshot(t, replay(t, storyLog(t)))
	for n := range whole {
		if _, err := state.ReadSnapshot(bytes.NewReader(whole[:n])); err == nil || !strings.Contains(err.Error(), "ends early") {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := state.ReadSnapshot(bytes.NewReader(append(slices.Clip(whole), 0))); err == nil ||
		err.Error() != "snapshot goes on after its end" {
		t.Errorf("one byte more: %v", err)
	}
}

// items writes a snapshot by hand.
func items(t testing.TB, header *raftpb.SnapshotHeader, items ...*raftpb.SnapshotItem) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := protodelim.MarshalTo(&b, header)
	for _, item := range items {
		_, e := protodelim.MarshalTo(&b, item)
		err = errors.Join(err, e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWrongSnapshotIsRefused(t *testing.T) {
	header := &raftpb.SnapshotHeader{Format: 1, Index: 3}
	n1 := &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Node{Node: &clusterpb.Node{Id: "n1"}}}
	end := func(n uint64) *raftpb.SnapshotItem {
		return &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_End{End: &raftpb.SnapshotEnd{Items: n}}}
	}
	tests := map[string]struct {
		snapshot []byte
		want     string
	}{
		"newer format":   {items(t, &raftpb.SnapshotHeader{Format: 2}, end(0)), "snapshot has format 2; this version of muster reads format 1"},
		"no snapshot":    {[]byte("\x02\xff\xff"), "read snapshot header: "},
		"miscounted":     {items(t, header, n1, end(2)), "snapshot holds 1 items and says it has 2"},
		"twice":          {items(t, header, n1, n1, end(2)), "snapshot item 2: node n1 is there twice"},
		"without an id":  {items(t, header, &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Node{Node: &clusterpb.Node{}}}), "snapshot item 1: a node without id"},
		"unknown object": {items(t, header, &raftpb.SnapshotItem{}, end(1)), "snapshot item 1: an object of a kind that this version of muster does not know"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := state.ReadSnapshot(bytes.NewReader(tt.snapshot))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzApply looks for commands that end the state machine: one that was
// committed would end every member, and again at each restart.
func FuzzApply(f *testing.F) {
	for _, cmd := range story() {
		raw, err := proto.Marshal(cmd)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	base := replay(f, storyLog(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		cmd := new(raftpb.Command)
		if proto.Unmarshal(b, cmd) != nil {
			return
		}
		for _, c := range cmd.GetChanges() {
			if c.GetKind() == nil {
				return // refused before it is proposed
			}
		}
		s, _ := base.Apply(base.Index+1, proto.CloneOf(cmd))
		s, _ = s.Apply(s.Index+1, proto.CloneOf(cmd))
		if _, err := state.ReadSnapshot(bytes.NewReader(storetest.Snapshot(t, s))); err != nil {
			t.Errorf("the state cannot be restored any more: %v", err)
		}
	})
}

// FuzzRestore looks for snapshots that are not refused but cannot be written
// back, and for any that end the process.
func FuzzRestore(f *testing.F) {
	f.Add(storetest.Snapshot(f, replay(f, storyLog(f))))
	f.Add(items(f, &raftpb.SnapshotHeader{Format: 1}, &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_End{End: &raftpb.SnapshotEnd{}}}))
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x08})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := state.ReadSnapshot(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := state.ReadSnapshot(bytes.NewReader(storetest.Snapshot(t, s)))
		if err != nil {
			t.Fatalf("written back, it is refused: %v", err)
		}
		if a, b := storetest.Content(t, s), storetest.Content(t, again); a != b {
			t.Errorf("written back, it is another:\n%s\n%s", a, b)
		}
	})
}
