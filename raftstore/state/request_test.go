package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// request applies changes as a user's request.
func request(s *state.State, id string, now time.Time, c ...*raftpb.Change) (*state.State, state.Outcome) {
	return s.Apply(s.Index+1, &raftpb.Command{ProposedAt: timestamppb.New(now), RequestId: id, Changes: c})
}

func TestRepeatedRequestIsAnsweredAlike(t *testing.T) {
	s := state.NewState()
	now := storetest.Start()
	s, out := request(s, "r1", now, service("s1", "web"))
	if out.Err != nil || out.ObjectID != "s1" {
		t.Fatalf("first: %+v", out)
	}
	before := storetest.Content(t, s)
	s, out = request(s, "r1", now.Add(time.Minute), service("s1", "web"))
	if out.Err != nil || out.ObjectID != "s1" || len(out.Touched) != 0 {
		t.Errorf("again: %+v", out)
	}
	if after := storetest.Content(t, s); after != before || s.Index != 2 {
		t.Errorf("index %d, state\n%s\nwant\n%s", s.Index, after, before)
	}
	// Without an id, or with another, it is a second request.
	for _, id := range []string{"", "r2"} {
		if _, out := request(s, id, now, service("s1", "web")); !errdefs.IsAlreadyExists(out.Err) {
			t.Errorf("request %q: %v", id, out.Err)
		}
	}
}

// TestSkippedRequestIsTold: a batch of the cluster's own needs no answer to what
// was overtaken, a user does.
func TestSkippedRequestIsTold(t *testing.T) {
	s := storetest.State(t, service("s1", "web"))
	late := state.SetUpdateStatus(&clusterpb.Service{Id: "s1", SpecVersion: 99}, &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_PAUSED})
	if _, out := request(s, "", storetest.Start(), late); out.Err != nil || len(out.Touched) != 0 {
		t.Errorf("of the cluster: %+v", out)
	}
	s, first := request(s, "r1", storetest.Start(), late)
	_, again := request(s, "r1", storetest.Start(), late)
	if !errdefs.IsConflict(first.Err) || !errdefs.IsConflict(again.Err) {
		t.Errorf("of a user: %v, then %v; want a conflict", first.Err, again.Err)
	}
}

func TestRefusedRequestStaysRefused(t *testing.T) {
	s := storetest.State(t, service("s1", "web"))
	now := storetest.Start()
	s, first := request(s, "r1", now, node("n1"), service("s2", "web"))
	if !errdefs.IsAlreadyExists(first.Err) {
		t.Fatalf("first: %v", first.Err)
	}
	// The name is free now, but the user was told that it was not.
	s = storetest.Apply(t, s, state.DeleteService("s1"))
	s, again := request(s, "r1", now, node("n1"), service("s2", "web"))
	if !errdefs.IsAlreadyExists(again.Err) || again.Err.Error() != first.Err.Error() {
		t.Errorf("again: %v", again.Err)
	}
	if r, ok := s.Applied("r1"); !ok || !errdefs.IsAlreadyExists(state.AppliedError(r, "")) {
		t.Errorf("applied: %v", r)
	}
	if got := storetest.Content(t, s); got == "" {
		t.Error("the request was not kept")
	}
	if _, ok := s.Node("n1"); ok {
		t.Error("a part of the refused request was applied")
	}
}

func TestOutcomeNamesTheFirstServiceOrNode(t *testing.T) {
	_, out := request(state.NewState(), "r1", storetest.Start(), task("t1", "s1"), node("n1"), service("s1", "web"))
	if out.ObjectID != "n1" {
		t.Errorf("object %q, want n1", out.ObjectID)
	}
}

func TestRequestsAreForgottenByNumberAndTime(t *testing.T) {
	s := state.NewState()
	now := storetest.Start()
	do := func(n int, at time.Time) {
		s, _ = request(s, fmt.Sprintf("r%d", n), at, state.DeleteTask("none"))
	}
	known := func(n int) bool {
		_, ok := s.Applied(fmt.Sprintf("r%d", n))
		return ok
	}
	for n := range 5000 {
		do(n, now)
	}
	if !known(0) {
		t.Error("r0 was forgotten within 10 minutes")
	}
	do(5000, now.Add(10*time.Minute-time.Second))
	if !known(0) {
		t.Error("r0 was forgotten a second early")
	}
	for n := range 1000 {
		do(5001+n, now.Add(10*time.Minute))
	}
	if known(0) {
		t.Error("r0 is still known")
	}
	for n := range 6001 {
		if want := n >= 6001-4096; known(n) != want {
			t.Fatalf("r%d known: %v", n, known(n))
		}
	}
	// However old, the last ones stay.
	do(6001, now.Add(24*time.Hour))
	if !known(6001) || !known(6000) || !known(6001-4095) {
		t.Error("fewer than 4096 are known")
	}
}
