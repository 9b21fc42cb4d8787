package rollout

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Progress returns how far the slot is, or nil when it was not begun.
func Progress(u *clusterpb.UpdateStatus, slot uint32) *clusterpb.SlotUpdate {
	i, ok := slices.BinarySearchFunc(u.GetProgress(), slot, func(p *clusterpb.SlotUpdate, slot uint32) int {
		return cmp.Compare(p.GetSlot(), slot)
	})
	if !ok {
		return nil
	}
	return u.GetProgress()[i]
}

// Sort brings the progress of u into the order of its slots.
func Sort(u *clusterpb.UpdateStatus) { slices.SortStableFunc(u.GetProgress(), bySlot) }

func bySlot(a, b *clusterpb.SlotUpdate) int { return cmp.Compare(a.GetSlot(), b.GetSlot()) }

// Changes is how progress goes from old to next: the slots that are new or
// differ, and those that are no more.
func Changes(old, next *clusterpb.UpdateStatus) (changed []*clusterpb.SlotUpdate, dropped []uint32) {
	for _, p := range next.GetProgress() {
		if was := Progress(old, p.GetSlot()); was == nil || !proto.Equal(was, p) {
			changed = append(changed, p)
		}
	}
	for _, p := range old.GetProgress() {
		if Progress(next, p.GetSlot()) == nil {
			dropped = append(dropped, p.GetSlot())
		}
	}
	return changed, dropped
}

// Merge is the progress that Changes were found for, in the order of slots. It
// changes neither slice.
func Merge(old, changed []*clusterpb.SlotUpdate, dropped []uint32) []*clusterpb.SlotUpdate {
	replaced := make(map[uint32]bool, len(changed)+len(dropped))
	for _, p := range changed {
		replaced[p.GetSlot()] = true
	}
	for _, slot := range dropped {
		replaced[slot] = true
	}
	var merged []*clusterpb.SlotUpdate
	for _, p := range old {
		if !replaced[p.GetSlot()] {
			merged = append(merged, p)
		}
	}
	merged = append(merged, changed...)
	slices.SortStableFunc(merged, bySlot)
	return merged
}

// Portion returns next, if what its progress differs in from old's takes no more
// than most bytes. Otherwise it returns a first part of the step: old with as
// many of those slots as fit, at least one. Where the rollout goes is decided
// again when all of them are written down.
func Portion(old, next *clusterpb.UpdateStatus, most int) (part *clusterpb.UpdateStatus, whole bool) {
	changed, dropped := Changes(old, next)
	size := 0
	for i, p := range changed {
		if size += proto.Size(p); size <= most || i == 0 {
			continue
		}
		part = proto.CloneOf(old)
		part.Slots, part.StartedAt = next.GetSlots(), next.GetStartedAt()
		part.Progress = Merge(part.GetProgress(), changed[:i], dropped)
		return part, false
	}
	return next, true
}
