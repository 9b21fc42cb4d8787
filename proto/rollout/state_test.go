package rollout_test

import (
	"slices"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/rollout"
)

// The states of a rollout under short names.
const (
	never             = clusterpb.UpdateStatus_STATE_UNSPECIFIED
	updating          = clusterpb.UpdateStatus_STATE_UPDATING
	canaries          = clusterpb.UpdateStatus_STATE_CANARY
	paused            = clusterpb.UpdateStatus_STATE_PAUSED
	completed         = clusterpb.UpdateStatus_STATE_COMPLETED
	rollbackStarted   = clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED
	rollbackPaused    = clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED
	rollbackCompleted = clusterpb.UpdateStatus_STATE_ROLLBACK_COMPLETED
)

// meanings are the states for which each question is answered with yes.
var meanings = map[string]struct {
	is  func(rollout.State) bool
	yes []rollout.State
}{
	"has none":         {rollout.HasNone, []rollout.State{never}},
	"takes slots":      {rollout.TakesSlots, []rollout.State{updating, rollbackStarted}},
	"awaits promotion": {rollout.AwaitsPromotion, []rollout.State{canaries}},
	"is under way":     {rollout.IsUnderWay, []rollout.State{updating, canaries, rollbackStarted}},
	"is paused":        {rollout.IsPaused, []rollout.State{paused, rollbackPaused}},
	"is over":          {rollout.IsOver, []rollout.State{never, completed, rollbackCompleted}},
	"is a rollback":    {rollout.IsRollback, []rollout.State{rollbackStarted, rollbackPaused, rollbackCompleted}},
}

func TestStates(t *testing.T) {
	for question, m := range meanings {
		for n := range clusterpb.UpdateStatus_State_name {
			s := rollout.State(n)
			if got, want := m.is(s), slices.Contains(m.yes, s); got != want {
				t.Errorf("%s %s: %v", s, question, got)
			}
		}
	}
}

// TestEveryStateIsOneOfThree fails for a new state of which nobody said whether
// it goes on, waits for the user or is over.
func TestEveryStateIsOneOfThree(t *testing.T) {
	for n := range clusterpb.UpdateStatus_State_name {
		s, is := rollout.State(n), 0
		for _, yes := range []bool{rollout.IsUnderWay(s), rollout.IsPaused(s), rollout.IsOver(s)} {
			if yes {
				is++
			}
		}
		if is != 1 {
			t.Errorf("%s is %d of under way, paused and over", s, is)
		}
		if (rollout.Name(s) == "") != rollout.IsOver(s) {
			t.Errorf("%s is called %q", s, rollout.Name(s))
		}
	}
}

func TestConfig(t *testing.T) {
	update, rollback := &clusterpb.UpdateConfig{Canary: 1}, &clusterpb.UpdateConfig{Canary: 2}
	for n := range clusterpb.UpdateStatus_State_name {
		s := rollout.State(n)
		svc := service(s, func(svc *clusterpb.Service) { svc.Spec.Update, svc.Spec.Rollback = update, rollback })
		want := update
		if rollout.IsRollback(s) {
			want = rollback
		}
		if got := rollout.Config(svc); got != want {
			t.Errorf("%s is done as %v says", s, got)
		}
	}
}

// service is one whose rollout is in a state.
func service(s rollout.State, changes ...func(*clusterpb.Service)) *clusterpb.Service {
	svc := &clusterpb.Service{
		Id: "s", SpecVersion: 2,
		Spec:   &clusterpb.ServiceSpec{Name: "web", Update: &clusterpb.UpdateConfig{}},
		Update: &clusterpb.UpdateStatus{State: s, Version: 7},
	}
	for _, change := range changes {
		change(svc)
	}
	return svc
}

func withCanaries(n uint32) func(*clusterpb.Service) {
	return func(svc *clusterpb.Service) { svc.Spec.Update.Canary = n }
}

func promoted(svc *clusterpb.Service) { svc.Update.Promoted = true }

func TestCanaries(t *testing.T) {
	atCanaries := []rollout.State{updating, paused, canaries}
	held := []rollout.State{updating, paused, rollbackPaused, canaries}
	for n := range clusterpb.UpdateStatus_State_name {
		s := rollout.State(n)
		if got, want := rollout.IsAtCanaries(service(s, withCanaries(1))), slices.Contains(atCanaries, s); got != want {
			t.Errorf("%s with canaries is at them: %v", s, got)
		}
		if rollout.IsAtCanaries(service(s)) || rollout.IsAtCanaries(service(s, withCanaries(1), promoted)) {
			t.Errorf("%s is at canaries that it does not have", s)
		}
		if got, want := rollout.IsHeld(service(s, withCanaries(1))), slices.Contains(held, s); got != want {
			t.Errorf("%s with canaries is held: %v", s, got)
		}
		if got, want := rollout.IsHeld(service(s)), rollout.IsPaused(s) || s == canaries; got != want {
			t.Errorf("%s is held: %v", s, got)
		}
	}
	if rollout.IsAtCanaries(nil) || rollout.IsHeld(nil) {
		t.Error("a service that is gone has a rollout")
	}
}

func TestIsBlueGreen(t *testing.T) {
	tests := map[string]struct {
		canary, slots uint32
		want          bool
	}{
		"no canaries":            {0, 3, false},
		"nothing to change":      {0, 0, false},
		"some":                   {2, 3, false},
		"all":                    {3, 3, true},
		"more than there are":    {5, 3, true},
		"before slots are known": {1, 0, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := service(updating, withCanaries(tt.canary))
			svc.Update.Slots = tt.slots
			if got := rollout.IsBlueGreen(svc); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	svc := service(updating, func(svc *clusterpb.Service) {
		svc.Update.Progress = []*clusterpb.SlotUpdate{{Slot: 1, Failed: true}, {Slot: 2, Failed: true}, {Slot: 3}}
	})
	if got := rollout.Failed(svc.GetUpdate()); got != 2 {
		t.Errorf("%d slots failed, want 2", got)
	}
	if got := rollout.Progress(svc.GetUpdate(), 1); got.GetSlot() != 1 || !got.GetFailed() {
		t.Errorf("progress of slot 1: %v", got)
	}
	if !rollout.HasBegun(svc, 3) || rollout.HasBegun(svc, 4) || rollout.HasBegun(nil, 1) {
		t.Error("other slots were begun than those with progress")
	}
}
