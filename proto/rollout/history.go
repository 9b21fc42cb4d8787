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

// Outcome is how a rollout ended that another spec has taken the place of.
type Outcome = clusterpb.SpecRecord_Outcome

const (
	noOutcome      = clusterpb.SpecRecord_OUTCOME_UNSPECIFIED
	wentThrough    = clusterpb.SpecRecord_OUTCOME_COMPLETED
	wentBack       = clusterpb.SpecRecord_OUTCOME_ROLLBACK_COMPLETED
	wasInterrupted = clusterpb.SpecRecord_OUTCOME_INTERRUPTED
	wasRolledBack  = clusterpb.SpecRecord_OUTCOME_ROLLED_BACK
	hasFailed      = clusterpb.SpecRecord_OUTCOME_FAILED
)

// Present returns the record of the spec that the service has now. It shares
// the spec.
func Present(svc *clusterpb.Service) *clusterpb.SpecRecord {
	r := &clusterpb.SpecRecord{
		Number:      1,
		Spec:        svc.GetSpec(),
		Images:      svc.GetImages(),
		Restarts:    svc.GetRestarts(),
		SpecVersion: svc.GetSpecVersion(),
		CreatedAt:   svc.GetUpdatedAt(),
	}
	samePort := func(a, b *clusterpb.Port) bool { return proto.Equal(a, b) }
	if !slices.EqualFunc(svc.GetPorts(), svc.GetSpec().GetPorts(), samePort) {
		r.Ports = svc.GetPorts()
	}
	if n := len(svc.GetHistory()); n > 0 {
		last := svc.GetHistory()[n-1]
		r.Number, r.Rolled = last.GetNumber()+1, last.GetSpecVersion() != svc.GetSpecVersion()
	}
	return r
}

// Ports returns the ports that the record's tasks had, those that were left open
// filled in.
func Ports(r *clusterpb.SpecRecord) []*clusterpb.Port {
	if len(r.GetPorts()) > 0 {
		return r.GetPorts()
	}
	return r.GetSpec().GetPorts()
}

// Record returns the history of old with its present spec added, for a service
// that goes on to specVersion, as a rollback or not. What leaves the rollout of
// old behind says how that ended, in all records of the same tasks. The history
// of old is left as it is.
func Record(old *clusterpb.Service, specVersion uint64, rollback bool) []*clusterpb.SpecRecord {
	history := append(slices.Clone(old.GetHistory()), Present(old))
	if specVersion != old.GetSpecVersion() {
		for i, r := range history {
			if r.GetSpecVersion() == old.GetSpecVersion() {
				history[i] = proto.CloneOf(r)
				history[i].Outcome = outcome(old, rollback)
			}
		}
	}
	return trim(history, specVersion)
}

// outcome is how the service's present rollout ends when another spec takes its
// place, as a rollback or not.
func outcome(svc *clusterpb.Service, rollback bool) Outcome {
	u := svc.GetUpdate()
	switch {
	case rollback:
		return wasRolledBack
	case HasNone(u.GetState()):
		return noOutcome
	case !IsOver(u.GetState()):
		return wasInterrupted
	case float64(Failed(u)) > Config(svc).GetMaxFailureRatio()*float64(max(u.GetSlots(), 1)):
		return hasFailed
	case IsRollback(u.GetState()):
		return wentBack
	}
	return wentThrough
}

// isWhole reports whether all slots had the tasks of a record.
func isWhole(r *clusterpb.SpecRecord) bool {
	is := r.GetOutcome()
	return is == noOutcome || is == wentThrough || is == wentBack
}

// trim drops the oldest record that is too many, but never the one that leads
// back from specVersion: whoever scales a service ten times while an update runs,
// or tries ten specs that fail, must still be able to go back to what worked.
func trim(history []*clusterpb.SpecRecord, specVersion uint64) []*clusterpb.SpecRecord {
	if len(history) <= MaxHistory {
		return history
	}
	drop := 0
	if history[0] == wayBack(history, specVersion) {
		drop = 1
	}
	return slices.Delete(slices.Clone(history), drop, drop+1)
}

// wayBack is the last record of other tasks than those of specVersion that was
// rolled out whole, or else the last one of other tasks; nil when there is none.
func wayBack(history []*clusterpb.SpecRecord, specVersion uint64) (found *clusterpb.SpecRecord) {
	for _, r := range slices.Backward(history) {
		switch {
		case r.GetSpecVersion() == specVersion:
		case isWhole(r):
			return r
		case found == nil:
			found = r
		}
	}
	return found
}

// Earlier returns the record that a user's rollback goes back to: the one of
// that number, or with 0 the one that Retreat finds. A service that was rolled
// back already, by its user or the cluster, needs a number: twice in a row
// must neither return to what was left nor go back further than anybody meant.
//
// It is errdefs.ErrNotFound for a number that is not kept, and
// ErrFailedPrecondition when there is nothing to go back to without one.
func Earlier(svc *clusterpb.Service, number uint64) (*clusterpb.SpecRecord, error) {
	history, name := svc.GetHistory(), svc.GetSpec().GetName()
	if number == 0 {
		return previous(svc)
	}
	for _, h := range history {
		if h.GetNumber() == number {
			return h, nil
		}
	}
	switch present := Present(svc).GetNumber(); {
	case number == present:
		return nil, fmt.Errorf("service %s has spec number %d already: %w", name, number, errdefs.ErrFailedPrecondition)
	case len(history) == 0:
		return nil, fmt.Errorf("service %s has no spec number %d: it keeps none before its present one: %w", name, number, errdefs.ErrNotFound)
	}
	return nil, fmt.Errorf("service %s has no spec number %d: it keeps %d to %d: %w",
		name, number, history[0].GetNumber(), history[len(history)-1].GetNumber(), errdefs.ErrNotFound)
}

// previous is the record that a rollback without a number goes back to.
func previous(svc *clusterpb.Service) (*clusterpb.SpecRecord, error) {
	history, name := svc.GetHistory(), svc.GetSpec().GetName()
	if len(history) == 0 {
		return nil, fmt.Errorf("service %s has no earlier spec to roll back to: %w", name, errdefs.ErrFailedPrecondition)
	}
	first, last := history[0].GetNumber(), history[len(history)-1].GetNumber()
	if IsRollback(svc.GetUpdate().GetState()) {
		return nil, fmt.Errorf("service %s was just rolled back: name the spec to go to (--to %d to %d): %w", name, first, last, errdefs.ErrFailedPrecondition)
	}
	back := Retreat(svc)
	if back == nil {
		return nil, fmt.Errorf("service %s has no earlier spec with other tasks; to undo what replaced none, name the spec to go to (--to %d to %d): %w",
			name, first, last, errdefs.ErrFailedPrecondition)
	}
	return back, nil
}

// Retreat returns the record of the spec that a failed rollout goes back to:
// the last one of other tasks that was rolled out whole, or else the last one of
// other tasks; nil when there is none. The number of replicas stays when it was
// changed after the rollout began.
func Retreat(svc *clusterpb.Service) *clusterpb.SpecRecord {
	found := wayBack(svc.GetHistory(), svc.GetSpecVersion())
	if found == nil {
		return nil
	}
	back := proto.CloneOf(found)
	if now := svc.GetSpec(); !proto.Equal(began(svc).GetReplicated(), now.GetReplicated()) {
		back.Spec.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: now.GetReplicated()}
	}
	return back
}

// began is the first spec of the service's present rollout.
func began(svc *clusterpb.Service) *clusterpb.ServiceSpec {
	for _, r := range svc.GetHistory() {
		if r.GetSpecVersion() == svc.GetSpecVersion() {
			return r.GetSpec()
		}
	}
	return svc.GetSpec()
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
