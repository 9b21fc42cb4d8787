package rollout_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/rollout"
)

// TestChangesOfProgress: old and the changes make next, whatever they are, and
// the portions of a step come to it too.
func TestChangesOfProgress(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	some := func() *clusterpb.UpdateStatus {
		u := &clusterpb.UpdateStatus{}
		for slot := range uint32(20) {
			if rng.IntN(3) > 0 {
				u.Progress = append(u.Progress, &clusterpb.SlotUpdate{Slot: slot, Failed: rng.IntN(2) == 0})
			}
		}
		return u
	}
	for range 200 {
		old, next := some(), some()
		next.State, next.Slots = clusterpb.UpdateStatus_STATE_PAUSED, 20
		changed, dropped := rollout.Changes(old, next)
		if diff := cmp.Diff(next.GetProgress(), rollout.Merge(old.GetProgress(), changed, dropped), protocmp.Transform()); diff != "" {
			t.Fatalf("merged (-want +got):\n%s", diff)
		}
		steps := 0
		for at, whole := old, false; !whole; steps++ {
			at, whole = rollout.Portion(at, next, 10)
			if whole != proto.Equal(at, next) || at.GetSlots() != next.GetSlots() || !whole && at.GetState() != old.GetState() {
				t.Fatalf("portion %d: %v of %v, whole: %t", steps, at, next, whole)
			}
		}
		if want := max(1, (len(changed)+1)/2); steps > want+1 {
			t.Fatalf("%d portions for %d changes", steps, len(changed))
		}
	}
}

func TestProgressOfUnsorted(t *testing.T) {
	u := &clusterpb.UpdateStatus{Progress: []*clusterpb.SlotUpdate{{Slot: 3}, {Slot: 1}, {Slot: 2}}}
	rollout.Sort(u)
	for slot := range uint32(5) {
		if p := rollout.Progress(u, slot); (p != nil) != (slot >= 1 && slot <= 3) || p != nil && p.GetSlot() != slot {
			t.Errorf("slot %d: %v", slot, p)
		}
	}
}
