package manager

import (
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/manager/control/controltest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// TestNodesThatNeverConnect: workers that joined, and no more, make room again
// an hour later, or after the change of leader that kept them from it.
func TestNodesThatNeverConnect(t *testing.T) {
	w := controltest.New(t)
	w.Now = time.Now().Add(-30 * time.Minute)
	w.Apply(state.CreateCluster(&raftpb.CreateCluster{Id: "c"}))
	w.AddNode("connected")
	put := func(id string, role clusterpb.NodeRole) {
		w.Apply(state.PutNode(&raftpb.PutNode{Id: id, Role: role}))
	}
	put("worker", clusterpb.NodeRole_NODE_ROLE_WORKER)
	put("manager", clusterpb.NodeRole_NODE_ROLE_MANAGER) // it may have a vote
	leads := controllers()
	began := time.Now()
	late := began.Add(20 * time.Minute)
	for _, tt := range []struct {
		at   time.Time
		want []string
	}{
		{began.Add(time.Minute), []string{"connected", "manager", "worker"}},
		{late, []string{"connected", "late", "manager", "worker"}},
		{began.Add(59 * time.Minute), []string{"connected", "late", "manager", "worker"}},
		{began.Add(time.Hour + time.Second), []string{"connected", "late", "manager"}},
		{late.Add(time.Hour + time.Second), []string{"connected", "manager"}},
	} {
		w.Now = tt.at
		if w.Now.Equal(late) {
			put("late", clusterpb.NodeRole_NODE_ROLE_WORKER)
		}
		w.Settle(leads...)
		var got []string
		for n := range w.State.Nodes() {
			got = append(got, n.GetId())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%v after the term began: %v, want %v", w.Now.Sub(began), got, tt.want)
		}
		if due, ok := w.Due(); !ok || due.Sub(w.Now) > time.Hour {
			t.Errorf("the next look is in %v", due.Sub(w.Now))
		}
	}
	if removed := w.State.Cluster().GetRemovedNodes(); len(removed) != 2 || removed[0].GetExpiresAt().AsTime().Before(w.Now.Add(24*time.Hour)) {
		t.Errorf("revoked are %v, want both for as long as a certificate lives", removed)
	}
}
