package gossipkeys

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/manager/control/controltest"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// counter makes keys "1", "2", ….
func counter() func() []byte {
	n := byte('0')
	return func() []byte {
		n++
		return []byte{n}
	}
}

func join(w *controltest.World) string {
	var all []string
	for _, k := range w.State.Secrets().GetGossipKeys() {
		all = append(all, string(k))
	}
	return strings.Join(all, " ")
}

func TestRotation(t *testing.T) {
	w := controltest.New(t)
	c := controller(counter())
	if w.Turn(c); join(w) != "" {
		t.Fatalf("keys %q without a cluster", join(w))
	}
	w.Apply(state.CreateCluster(&raftpb.CreateCluster{WorkerSecret: "w", GossipKeys: [][]byte{[]byte("a"), []byte("b")}}))
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{
		{0, "a b"},
		{period - time.Second, "a b"},
		{time.Second, "b 1 a"},
		{period / 2, "b 1 a"},
		{period / 2, "1 2 b"},
		{5 * period, "2 3 1"}, // once, however long nobody led: nodes must learn of each first
	} {
		w.Now = w.Now.Add(tt.after)
		w.Turn(c)
		if got := join(w); got != tt.want {
			t.Errorf("%v later: keys %q, want %q", tt.after, got, tt.want)
		}
	}
	if w.State.Secrets().GetWorkerSecret() != "w" {
		t.Error("the other secrets were lost")
	}
	if due, ok := w.Due(); !ok || due.Sub(w.Now) != period {
		t.Errorf("due in %v, %v, want in %v", due.Sub(w.Now), ok, period)
	}
}

// TestRemovedNodeKnowsNoKey: all keys are new within minutes of its removal.
func TestRemovedNodeKnowsNoKey(t *testing.T) {
	w := controltest.New(t)
	c := controller(counter())
	w.Apply(
		state.CreateCluster(&raftpb.CreateCluster{GossipKeys: [][]byte{[]byte("a"), []byte("b")}}),
		state.PutNode(&raftpb.PutNode{Id: "n1"}))
	w.Now = w.Now.Add(period)
	w.Turn(c)
	w.Now = w.Now.Add(hurried)
	w.Apply(state.DeleteNode("n1", nil))
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{
		{0, "1 2 b"},
		{hurried - time.Second, "1 2 b"},
		{time.Second, "2 3 1"},
		{hurried, "3 4 2"},
		{hurried, "3 4 2"}, // nobody but the nodes knows one of these
		{period - hurried, "4 5 3"},
	} {
		w.Now = w.Now.Add(tt.after)
		w.Turn(c)
		if got := join(w); got != tt.want {
			t.Errorf("%v later: keys %q, want %q", tt.after, got, tt.want)
		}
	}
}

func TestOneKeyGetsASecond(t *testing.T) {
	w := controltest.New(t)
	w.Apply(state.CreateCluster(&raftpb.CreateCluster{GossipKeys: [][]byte{[]byte("a")}}))
	w.Now = w.Now.Add(period)
	w.Turn(controller(counter()))
	if got := join(w); got != "a 1" {
		t.Errorf("keys %q, want the second only announced", got)
	}
}

func TestFirst(t *testing.T) {
	keys := First()
	if len(keys) != 2 || len(keys[0]) != size || string(keys[0]) == string(keys[1]) {
		t.Errorf("keys %x, want two of %d bytes", keys, size)
	}
}
