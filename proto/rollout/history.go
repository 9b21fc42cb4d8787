package rollout

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// MaxHistory is how many earlier specs a service keeps.
const MaxHistory = 10

// Present returns the record of the spec that the service has now, with what
// became of its rollout so far. It shares the spec.
func Present(svc *clusterpb.Service) *clusterpb.SpecRecord {
	r := &clusterpb.SpecRecord{
		Number:      1,
		Spec:        svc.GetSpec(),
		Images:      svc.GetImages(),
		Restarts:    svc.GetRestarts(),
		SpecVersion: svc.GetSpecVersion(),
		CreatedAt:   svc.GetUpdatedAt(),
		Outcome:     svc.GetUpdate().GetState(),
	}
	if n := len(svc.GetHistory()); n > 0 {
		r.Number = svc.GetHistory()[n-1].GetNumber() + 1
	}
	return r
}

// Record returns the history of old with its present spec added, for a service
// that goes on to specVersion. Every spec counts, as for Docker, whose
// rollback undoes a change of scale too. The history of old is left as it is.
func Record(old *clusterpb.Service, specVersion uint64) []*clusterpb.SpecRecord {
	return trim(append(slices.Clip(old.GetHistory()), Present(old)), specVersion)
}

// trim drops the oldest record that is too many, but never the last one whose
// tasks differ from those of specVersion: whoever scales a service ten times
// while an update runs must still be able to roll the update back.
func trim(history []*clusterpb.SpecRecord, specVersion uint64) []*clusterpb.SpecRecord {
	if len(history) <= MaxHistory {
		return history
	}
	drop := 0
	others := func(r *clusterpb.SpecRecord) bool { return r.GetSpecVersion() != specVersion }
	if others(history[0]) && !slices.ContainsFunc(history[1:], others) {
		drop = 1
	}
	return slices.Delete(slices.Clone(history), drop, drop+1)
}

// Earlier returns the record that a user's rollback goes back to: the one of
// that number, or with 0 the one before. One that the service has just been
// rolled back from has to be named: who asks for the one before does not want
// what failed.
//
// It is errdefs.ErrNotFound for a number that is not kept, and
// ErrFailedPrecondition when there is none before.
func Earlier(svc *clusterpb.Service, number uint64) (*clusterpb.SpecRecord, error) {
	history, name := svc.GetHistory(), svc.GetSpec().GetName()
	if len(history) == 0 {
		return nil, fmt.Errorf("service %s has no earlier spec to roll back to: %w", name, errdefs.ErrFailedPrecondition)
	}
	if number == 0 {
		last := history[len(history)-1]
		if IsRollback(svc.GetUpdate().GetState()) && last.GetOutcome() == rollbackStarted {
			return nil, fmt.Errorf("service %s was just rolled back from the spec before, number %d: name it (--to %d) to return to it: %w",
				name, last.GetNumber(), last.GetNumber(), errdefs.ErrFailedPrecondition)
		}
		return last, nil
	}
	for _, h := range history {
		if h.GetNumber() == number {
			return h, nil
		}
	}
	return nil, fmt.Errorf("service %s has no spec number %d: it keeps %d to %d: %w",
		name, number, history[0].GetNumber(), history[len(history)-1].GetNumber(), errdefs.ErrNotFound)
}

// Retreat returns the record of the spec that a failed rollout goes back to by
// itself: the last one that was rolled out whole, or else the last other one; nil
// when there is none. The number of replicas stays when it was changed after the
// rollout began.
func Retreat(svc *clusterpb.Service) *clusterpb.SpecRecord {
	var found *clusterpb.SpecRecord
	began := svc.GetSpec() // the first spec of this rollout
	for _, r := range slices.Backward(svc.GetHistory()) {
		if r.GetSpecVersion() == svc.GetSpecVersion() {
			began = r.GetSpec()
			continue
		}
		if found == nil {
			found = r
		}
		if IsOver(r.GetOutcome()) {
			found = r
			break
		}
	}
	if found == nil {
		return nil
	}
	back := proto.CloneOf(found)
	if now := svc.GetSpec(); !proto.Equal(began.GetReplicated(), now.GetReplicated()) {
		back.Spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: now.GetReplicated()}
	}
	return back
}

// NextRestart numbers the restart that comes next: after all that the service
// has had, also one that a rollback took back. Tasks of that one may still run,
// and must not pass for tasks of the next.
func NextRestart(svc *clusterpb.Service) uint64 {
	last := svc.GetRestarts()
	for _, r := range svc.GetHistory() {
		last = max(last, r.GetRestarts())
	}
	return last + 1
}
