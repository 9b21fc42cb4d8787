package state

import (
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// maxHistory is how many earlier specs a service keeps.
const maxHistory = 10

// record returns the history of old with its present spec added, for a service
// that goes on to specVersion. Every spec counts, as for Docker, whose
// rollback undoes a change of scale too.
func record(old *clusterpb.Service, specVersion uint64) []*clusterpb.SpecRecord {
	r := &clusterpb.SpecRecord{
		Number:      1,
		Spec:        old.GetSpec(),
		SpecVersion: old.GetSpecVersion(),
		CreatedAt:   old.GetUpdatedAt(),
		Outcome:     old.GetUpdate().GetState(),
	}
	if n := len(old.GetHistory()); n > 0 {
		r.Number = old.GetHistory()[n-1].GetNumber() + 1
	}
	return trim(append(slices.Clip(old.GetHistory()), r), specVersion)
}

// trim drops the oldest record that is too many, but never the last one whose
// tasks differ from those of specVersion: whoever scales a service ten times
// while an update runs must still be able to roll the update back.
func trim(history []*clusterpb.SpecRecord, specVersion uint64) []*clusterpb.SpecRecord {
	if len(history) <= maxHistory {
		return history
	}
	drop := 0
	others := func(r *clusterpb.SpecRecord) bool { return r.GetSpecVersion() != specVersion }
	if others(history[0]) && !slices.ContainsFunc(history[1:], others) {
		drop = 1
	}
	return slices.Delete(slices.Clone(history), drop, drop+1)
}
