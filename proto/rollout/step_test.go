package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/rollout"
)

var (
	now    = time.Date(2026, 8, 2, 12, 0, 0, 0, time.UTC)
	before = timestamppb.New(now.Add(-time.Hour))
)

// TestSteps: each step returns the status that comes next and leaves the one it
// was made from as it is.
func TestSteps(t *testing.T) {
	tests := map[string]struct {
		from *clusterpb.UpdateStatus
		step func(*clusterpb.UpdateStatus) *clusterpb.UpdateStatus
		want *clusterpb.UpdateStatus
	}{
		"begin": {
			nil, func(*clusterpb.UpdateStatus) *clusterpb.UpdateStatus { return rollout.Begin(false, "", now) },
			&clusterpb.UpdateStatus{State: updating, StartedAt: timestamppb.New(now)},
		},
		"begin a rollback": {
			nil, func(*clusterpb.UpdateStatus) *clusterpb.UpdateStatus { return rollout.Begin(true, "asked for", now) },
			&clusterpb.UpdateStatus{State: rollbackStarted, StartedAt: timestamppb.New(now), Message: "asked for"},
		},
		"await": {
			&clusterpb.UpdateStatus{State: updating, Version: 7, Slots: 3},
			func(u *clusterpb.UpdateStatus) *clusterpb.UpdateStatus { return rollout.Await(u, "1 canary waits") },
			&clusterpb.UpdateStatus{State: canaries, Version: 7, Slots: 3, Message: "1 canary waits"},
		},
		"proceed": {
			&clusterpb.UpdateStatus{State: canaries, Promoted: true, Message: "promoted by the user"}, rollout.Proceed,
			&clusterpb.UpdateStatus{State: updating, Promoted: true, Message: "promoted by the user"},
		},
		"reconsider": {
			&clusterpb.UpdateStatus{State: canaries, Message: "1 canary waits"}, rollout.Reconsider,
			&clusterpb.UpdateStatus{State: updating},
		},
		"approve": {
			&clusterpb.UpdateStatus{State: canaries, Version: 7, Message: "1 canary waits"}, rollout.Approve,
			&clusterpb.UpdateStatus{State: updating, Version: 7, Promoted: true, Message: "canaries promoted"},
		},
		"approve a rollback's": {
			&clusterpb.UpdateStatus{State: rollbackStarted}, rollout.Approve,
			&clusterpb.UpdateStatus{State: rollbackStarted, Promoted: true, Message: "canaries promoted"},
		},
		"give up": {
			&clusterpb.UpdateStatus{State: canaries, Version: 7},
			func(u *clusterpb.UpdateStatus) *clusterpb.UpdateStatus { return rollout.GiveUp(u, "slot 1") },
			&clusterpb.UpdateStatus{State: paused, PausedFrom: canaries, Version: 7, Message: "update paused: slot 1"},
		},
		"give a rollback up": {
			&clusterpb.UpdateStatus{State: rollbackStarted},
			func(u *clusterpb.UpdateStatus) *clusterpb.UpdateStatus { return rollout.GiveUp(u, "slot 1") },
			&clusterpb.UpdateStatus{State: rollbackPaused, PausedFrom: rollbackStarted, Message: "rollback paused: slot 1"},
		},
		"turn back": {
			&clusterpb.UpdateStatus{State: updating, Version: 7, Slots: 3, StartedAt: before, Progress: []*clusterpb.SlotUpdate{{Slot: 1}}},
			func(u *clusterpb.UpdateStatus) *clusterpb.UpdateStatus { return rollout.TurnBack(u, "slot 1", now) },
			&clusterpb.UpdateStatus{State: rollbackStarted, Version: 7, StartedAt: timestamppb.New(now), Message: "rolled back: slot 1"},
		},
		"strand": {
			&clusterpb.UpdateStatus{State: rollbackStarted, Version: 7},
			func(u *clusterpb.UpdateStatus) *clusterpb.UpdateStatus {
				return rollout.Strand(u, errors.New("port 80/tcp is taken"))
			},
			&clusterpb.UpdateStatus{State: paused, PausedFrom: updating, Version: 7, Message: "cannot roll back: port 80/tcp is taken"},
		},
		"complete": {
			&clusterpb.UpdateStatus{State: updating, StartedAt: before, Slots: 3}, complete,
			&clusterpb.UpdateStatus{State: completed, StartedAt: before, CompletedAt: timestamppb.New(now), Slots: 3, Message: "update completed"},
		},
		"complete with failures": {
			&clusterpb.UpdateStatus{State: updating, Slots: 3, Progress: []*clusterpb.SlotUpdate{{Slot: 1, Failed: true}}}, complete,
			&clusterpb.UpdateStatus{
				State: completed, CompletedAt: timestamppb.New(now), Slots: 3, Message: "update completed, 1 of 3 slots failed",
				Progress: []*clusterpb.SlotUpdate{{Slot: 1, Failed: true}},
			},
		},
		"complete a rollback": {
			&clusterpb.UpdateStatus{State: rollbackStarted}, complete,
			&clusterpb.UpdateStatus{State: rollbackCompleted, CompletedAt: timestamppb.New(now), Message: "rollback completed"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			untouched := proto.CloneOf(tt.from)
			got := tt.step(tt.from)
			if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("next status (-want +got):\n%s", diff)
			}
			if !proto.Equal(untouched, tt.from) {
				t.Errorf("what it was made from became %v", tt.from)
			}
		})
	}
}

// TestRespecified: canaries that wait are approved of as they are, or not at all.
func TestRespecified(t *testing.T) {
	spec := func(replicas, canary uint32) *clusterpb.ServiceSpec {
		return &clusterpb.ServiceSpec{
			Mode:   &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: replicas}},
			Update: &clusterpb.UpdateConfig{Canary: canary},
		}
	}
	waits := &clusterpb.UpdateStatus{State: canaries, Message: "1 canary waits", Version: 7}
	stopped := &clusterpb.UpdateStatus{State: paused, PausedFrom: canaries, Message: "paused by the user"}
	promoted := &clusterpb.UpdateStatus{State: canaries, Promoted: true, Message: "promoted by the user"}
	under := &clusterpb.UpdateStatus{State: updating}
	again := &clusterpb.UpdateStatus{State: updating, Version: 7}
	tests := map[string]struct {
		from *clusterpb.UpdateStatus
		next *clusterpb.ServiceSpec
		want *clusterpb.UpdateStatus
	}{
		"labels":           {waits, spec(3, 1), waits},
		"scaled":           {waits, spec(4, 1), again},
		"more canaries":    {waits, spec(3, 2), again},
		"paused":           {stopped, spec(4, 1), &clusterpb.UpdateStatus{State: paused, PausedFrom: updating, Message: "paused by the user"}},
		"promoted already": {promoted, spec(4, 1), promoted},
		"not there yet":    {under, spec(4, 1), under},
		"never updated":    {nil, spec(4, 1), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			untouched := proto.CloneOf(tt.from)
			got := rollout.Respecified(&clusterpb.Service{Spec: spec(3, 1), Update: tt.from}, tt.next)
			if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("the rollout (-want +got):\n%s", diff)
			}
			if !proto.Equal(untouched, tt.from) {
				t.Errorf("what it was made from became %v", tt.from)
			}
		})
	}
}

func complete(u *clusterpb.UpdateStatus) *clusterpb.UpdateStatus { return rollout.Complete(u, now) }

func TestPause(t *testing.T) {
	for n := range clusterpb.UpdateStatus_State_name {
		s := rollout.State(n)
		got, err := rollout.Pause(service(s))
		switch {
		case rollout.IsUnderWay(s):
			if err != nil || !rollout.IsPaused(got.GetState()) || rollout.IsRollback(got.GetState()) != rollout.IsRollback(s) ||
				got.GetPausedFrom() != s || got.GetVersion() != 7 || got.GetMessage() != "paused by the user" {
				t.Errorf("%s is paused as %v, %v", s, got, err)
			}
		case !errdefs.IsFailedPrecondition(err):
			t.Errorf("%s is paused as %v, %v", s, got, err)
		}
	}
	if _, err := rollout.Pause(service(paused)); !strings.Contains(err.Error(), "paused already") {
		t.Errorf("pausing twice: %v", err)
	}
	if _, err := rollout.Pause(&clusterpb.Service{}); !strings.Contains(err.Error(), "no rollout is under way") {
		t.Errorf("pausing nothing: %v", err)
	}
}

// TestResume: whatever was paused goes on as it was.
func TestResume(t *testing.T) {
	for n := range clusterpb.UpdateStatus_State_name {
		s := rollout.State(n)
		if !rollout.IsPaused(s) {
			if got, err := rollout.Resume(service(s), now); !errdefs.IsFailedPrecondition(err) {
				t.Errorf("%s is resumed as %v, %v", s, got, err)
			}
		}
		if !rollout.IsUnderWay(s) {
			continue
		}
		halted, err := rollout.Pause(service(s))
		if err != nil {
			t.Fatal(err)
		}
		got, err := rollout.Resume(&clusterpb.Service{Update: halted}, now)
		if err != nil || got.GetState() != s || got.GetPausedFrom() != never || got.GetMessage() != "resumed by the user" {
			t.Errorf("%s, paused and resumed, is %v, %v", s, got, err)
		}
	}
	for from, want := range map[rollout.State]rollout.State{paused: updating, rollbackPaused: rollbackStarted} {
		if got, err := rollout.Resume(service(from), now); err != nil || got.GetState() != want {
			t.Errorf("%s from nobody knows where is resumed as %v, %v, want %s", from, got, err, want)
		}
	}
}

func TestResumeTriesAgain(t *testing.T) {
	svc := service(paused, func(svc *clusterpb.Service) {
		svc.Update.Progress = []*clusterpb.SlotUpdate{
			{Slot: 1, StartedAt: before, DoneAt: before},
			{Slot: 2, StartedAt: before, DoneAt: before, Failed: true},
			{Slot: 3, StartedAt: before},
		}
	})
	untouched := proto.CloneOf(svc)
	got, err := rollout.Resume(svc, now)
	if err != nil {
		t.Fatal(err)
	}
	want := []*clusterpb.SlotUpdate{{Slot: 1, StartedAt: before, DoneAt: before}, {Slot: 3, StartedAt: before}}
	if diff := cmp.Diff(want, got.GetProgress(), protocmp.Transform()); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if !got.GetResumedAt().AsTime().Equal(now) {
		t.Errorf("resumed at %s", got.GetResumedAt().AsTime())
	}
	if !proto.Equal(untouched, svc) {
		t.Error("the service was changed")
	}
}

func TestPromote(t *testing.T) {
	for n := range clusterpb.UpdateStatus_State_name {
		s := rollout.State(n)
		got, err := rollout.Promote(service(s, withCanaries(1)))
		switch {
		case s == canaries:
			if err != nil || !got.GetPromoted() || got.GetState() != canaries || got.GetMessage() != "promoted by the user" {
				t.Errorf("%s is promoted to %v, %v", s, got, err)
			}
		case !errdefs.IsFailedPrecondition(err):
			t.Errorf("%s is promoted to %v, %v", s, got, err)
		}
	}
	if _, err := rollout.Promote(service(updating, withCanaries(1))); !strings.Contains(err.Error(), "long enough") {
		t.Errorf("too early: %v", err)
	}
	if _, err := rollout.Promote(service(updating)); !strings.Contains(err.Error(), "no canary") {
		t.Errorf("no canaries: %v", err)
	}
}
