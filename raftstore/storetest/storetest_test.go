package storetest_test

import (
	"testing"
	"testing/synctest"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

func web() *clusterpb.Service {
	return &clusterpb.Service{Id: "s1", Spec: &clusterpb.ServiceSpec{Name: "web"}}
}

func TestNewLeadsAndStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storetest.New(t)
		sub := s.Subscribe()
		defer sub.Close()
		id, err := s.ProposeRequest(t.Context(), state.Request{ID: "r1"}, storetest.PutService(web()))
		if err != nil || id != "s1" {
			t.Fatalf("propose: id %q, err %v", id, err)
		}
		if _, ok := s.State().ServiceByName("web"); !ok {
			t.Error("the state does not show an acknowledged write")
		}
		<-sub.C
		if got := sub.Take(); len(got) != 1 {
			t.Errorf("took %v, want the service", got)
		}
	})
}

func TestApplyLeavesTheCallersChanges(t *testing.T) {
	svc := web()
	s := storetest.State(t, storetest.PutService(svc))
	if svc.GetVersion() != 0 {
		t.Error("the caller's service was changed")
	}
	if _, err := storetest.TryAt(s, storetest.Start(), storetest.PutService(svc)); !errdefs.IsAlreadyExists(err) {
		t.Errorf("created twice: %v", err)
	}
}
