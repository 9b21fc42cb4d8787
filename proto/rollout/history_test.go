package rollout_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/rollout"
)

const (
	wentThrough = clusterpb.SpecRecord_OUTCOME_COMPLETED
	interrupted = clusterpb.SpecRecord_OUTCOME_INTERRUPTED
	rolledBack  = clusterpb.SpecRecord_OUTCOME_ROLLED_BACK
)

// spec tells specs apart by a label.
func spec(label string, replicas uint32) *clusterpb.ServiceSpec {
	return &clusterpb.ServiceSpec{
		Name: "web", Labels: map[string]string{"spec": label},
		Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: replicas}},
	}
}

func labelOf(s *clusterpb.ServiceSpec) string { return s.GetLabels()["spec"] }

func record(number, version uint64, outcome rollout.Outcome, s *clusterpb.ServiceSpec) *clusterpb.SpecRecord {
	return &clusterpb.SpecRecord{Number: number, SpecVersion: version, Outcome: outcome, Spec: s, Images: images(labelOf(s))}
}

// images are what the image of the spec with that label stood for.
func images(label string) []*clusterpb.ResolvedImage {
	return []*clusterpb.ResolvedImage{{Image: "web", Pinned: "web@" + label}}
}

func TestRecord(t *testing.T) {
	svc := service(never, func(svc *clusterpb.Service) { svc.Spec, svc.SpecVersion, svc.Images = spec("a", 1), 1, images("a") })
	svc.History = rollout.Record(svc, 2, false)
	if r := svc.GetHistory()[0]; len(svc.GetHistory()) != 1 || r.GetNumber() != 1 || labelOf(r.GetSpec()) != "a" || r.GetSpecVersion() != 1 ||
		r.GetImages()[0].GetPinned() != "web@a" {
		t.Fatalf("history %v, want spec a as number 1", svc.GetHistory())
	}
	svc.Spec, svc.SpecVersion, svc.Update = spec("b", 1), 2, &clusterpb.UpdateStatus{State: paused}
	earlier := proto.CloneOf(svc)
	next := rollout.Record(svc, 3, false)
	if r := next[1]; len(next) != 2 || r.GetNumber() != 2 || labelOf(r.GetSpec()) != "b" || r.GetOutcome() != interrupted || !r.GetRolled() {
		t.Errorf("history %v, want spec b as number 2, interrupted", next)
	}
	if !proto.Equal(earlier, svc) {
		t.Error("the service was changed")
	}
}

// TestOutcomes: what a rollout came to is said once it is left, of all specs of
// the same tasks; those that began no rollout are told apart.
func TestOutcomes(t *testing.T) {
	failed := []*clusterpb.SlotUpdate{{Slot: 1, Failed: true}}
	tests := map[string]struct {
		status   *clusterpb.UpdateStatus
		rollback bool
		want     rollout.Outcome
	}{
		"never updated":            {nil, false, 0},
		"completed":                {&clusterpb.UpdateStatus{State: completed}, false, wentThrough},
		"a rollback that is over":  {&clusterpb.UpdateStatus{State: rollbackCompleted}, false, clusterpb.SpecRecord_OUTCOME_ROLLBACK_COMPLETED},
		"overtaken":                {&clusterpb.UpdateStatus{State: updating}, false, interrupted},
		"overtaken while paused":   {&clusterpb.UpdateStatus{State: paused}, false, interrupted},
		"a rollback, overtaken":    {&clusterpb.UpdateStatus{State: rollbackStarted}, false, interrupted},
		"rolled back":              {&clusterpb.UpdateStatus{State: completed}, true, rolledBack},
		"went on over its failure": {&clusterpb.UpdateStatus{State: completed, Slots: 1, Progress: failed}, false, clusterpb.SpecRecord_OUTCOME_FAILED},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := service(never, func(svc *clusterpb.Service) { svc.Spec, svc.SpecVersion, svc.Update = spec("b", 1), 2, tt.status })
			svc.History = []*clusterpb.SpecRecord{record(1, 1, wentThrough, spec("a", 1))}
			svc.History = rollout.Record(svc, 2, false) // scaled
			scaled := rollout.Record(svc, 3, tt.rollback)
			for i, want := range []rollout.Outcome{wentThrough, tt.want, tt.want} {
				if r := scaled[i]; r.GetOutcome() != want || r.GetRolled() != (i == 1) {
					t.Errorf("number %d: %s, rolled %v, want %s", r.GetNumber(), r.GetOutcome(), r.GetRolled(), want)
				}
			}
			if svc.GetHistory()[1].GetOutcome() != 0 {
				t.Error("the history before was changed")
			}
		})
	}
}

func TestNextRestart(t *testing.T) {
	tests := map[string]struct {
		now     uint64
		earlier []uint64
		want    uint64
	}{
		"the first":                     {0, nil, 1},
		"another":                       {3, []uint64{1, 2}, 4},
		"after one that was taken back": {1, []uint64{0, 1, 2}, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := &clusterpb.Service{Restarts: tt.now}
			for _, n := range tt.earlier {
				svc.History = append(svc.History, &clusterpb.SpecRecord{Restarts: n})
			}
			if got := rollout.NextRestart(svc); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

// TestRecordKeepsAWayBack: a service that is scaled many times while an update
// runs keeps the spec from before the update.
func TestRecordKeepsAWayBack(t *testing.T) {
	svc := service(updating, func(svc *clusterpb.Service) {
		svc.Spec, svc.SpecVersion = spec("new", 1), 2
		svc.History = []*clusterpb.SpecRecord{record(1, 1, wentThrough, spec("old", 1))}
	})
	for range 3 * rollout.MaxHistory {
		svc.History = rollout.Record(svc, 2, false)
	}
	if n := len(svc.GetHistory()); n != rollout.MaxHistory {
		t.Errorf("%d records, want %d", n, rollout.MaxHistory)
	}
	if got := labelOf(svc.GetHistory()[0].GetSpec()); got != "old" {
		t.Errorf("the oldest record is %q, want the one from before the update", got)
	}
	if got := svc.GetHistory()[rollout.MaxHistory-1].GetNumber(); got != 3*rollout.MaxHistory+1 {
		t.Errorf("the last number is %d", got)
	}
	svc.SpecVersion = 3
	svc.History = rollout.Record(svc, 4, false)
	if got := labelOf(svc.GetHistory()[0].GetSpec()); got != "new" {
		t.Errorf("the oldest record is %q, want it gone once another leads back", got)
	}
}

// TestRecordKeepsWhatWasWhole: whoever tries one spec after the other, none of
// which comes through, still goes back to the one that did.
func TestRecordKeepsWhatWasWhole(t *testing.T) {
	svc := service(never, func(svc *clusterpb.Service) { svc.Spec, svc.SpecVersion = spec("whole", 1), 1 })
	for v := range uint64(3 * rollout.MaxHistory) {
		svc.History = rollout.Record(svc, v+2, false)
		svc.Spec, svc.SpecVersion, svc.Update = spec("broken", 1), v+2, &clusterpb.UpdateStatus{State: paused}
	}
	if n := len(svc.GetHistory()); n != rollout.MaxHistory {
		t.Errorf("%d records, want %d", n, rollout.MaxHistory)
	}
	if got := labelOf(rollout.Retreat(svc).GetSpec()); got != "whole" {
		t.Errorf("it goes back to the %s one", got)
	}
}

// TestPortsOfARecord: those that were left open are kept as they were chosen.
func TestPortsOfARecord(t *testing.T) {
	open, chosen := []*clusterpb.Port{{Target: 80}}, []*clusterpb.Port{{Target: 80, Published: 30000}}
	for name, tt := range map[string]struct{ written, had []*clusterpb.Port }{
		"none": {nil, nil}, "as written": {chosen, chosen}, "chosen": {open, chosen},
	} {
		svc := service(never, func(svc *clusterpb.Service) { svc.Spec.Ports, svc.Ports = tt.written, tt.had })
		r := rollout.Present(svc)
		if got := rollout.Ports(r); !slices.EqualFunc(got, tt.had, func(a, b *clusterpb.Port) bool { return proto.Equal(a, b) }) {
			t.Errorf("%s: %v, want %v", name, got, tt.had)
		}
		if name == "as written" && len(r.GetPorts()) > 0 {
			t.Errorf("%s: kept twice", name)
		}
	}
}

func TestEarlier(t *testing.T) {
	history := []*clusterpb.SpecRecord{record(3, 1, wentThrough, spec("a", 1)), record(4, 2, rolledBack, spec("b", 1))}
	more := append(slices.Clone(history), record(5, 9, 0, spec("scaled", 1)))
	tests := map[string]struct {
		state   rollout.State
		history []*clusterpb.SpecRecord
		number  uint64
		want    string
		wantErr string
		kind    func(error) bool
	}{
		"the last one rolled out whole": {completed, history, 0, "a", "", nil},
		"of a failed update":            {paused, history, 0, "a", "", nil},
		"past what rolled nothing":      {completed, more, 0, "a", "", nil},
		"by number":                     {completed, history, 3, "a", "", nil},
		"what rolled nothing, named":    {completed, more, 5, "scaled", "", nil},
		"none":                          {never, nil, 0, "", "no earlier spec", errdefs.IsFailedPrecondition},
		"none of other tasks":           {never, more[2:], 0, "", "no earlier spec with other tasks; to undo what replaced none, name the spec to go to (--to 5 to 5)", errdefs.IsFailedPrecondition},
		"none of that number":           {completed, history, 9, "", "no spec number 9: it keeps 3 to 4", errdefs.IsNotFound},
		"nothing to name":               {completed, nil, 9, "", "no spec number 9: it keeps none", errdefs.IsNotFound},
		"the present one":               {completed, history, 5, "", "has spec number 5 already", errdefs.IsFailedPrecondition},
		"twice in a row":                {rollbackCompleted, history, 0, "", "was just rolled back: name the spec to go to (--to 3 to 4)", errdefs.IsFailedPrecondition},
		"twice in a row, by number":     {rollbackCompleted, history, 4, "b", "", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := service(tt.state, func(svc *clusterpb.Service) { svc.Spec, svc.SpecVersion, svc.History = spec("c", 1), 9, tt.history })
			got, err := rollout.Earlier(svc, tt.number)
			if tt.kind == nil {
				if err != nil || labelOf(got.GetSpec()) != tt.want {
					t.Errorf("%v, %v, want spec %s", got, err, tt.want)
				}
				return
			}
			if !tt.kind(err) || !strings.Contains(err.Error(), tt.wantErr) || !strings.Contains(err.Error(), "web") {
				t.Errorf("%v, want %q of another kind", err, tt.wantErr)
			}
		})
	}
}

func TestRetreat(t *testing.T) {
	whole := record(1, 1, wentThrough, spec("whole", 3))
	first := record(1, 1, 0, spec("first", 3))
	broken := record(2, 2, rolledBack, spec("broken", 3))
	tests := map[string]struct {
		history  []*clusterpb.SpecRecord
		now      *clusterpb.ServiceSpec
		want     string
		replicas uint32
	}{
		"nothing before":              {nil, spec("now", 3), "", 0},
		"only of this rollout":        {[]*clusterpb.SpecRecord{record(1, 9, 0, spec("began", 3))}, spec("now", 3), "", 0},
		"the one before":              {[]*clusterpb.SpecRecord{whole}, spec("now", 3), "whole", 3},
		"the first, never updated":    {[]*clusterpb.SpecRecord{first}, spec("now", 3), "first", 3},
		"past one that failed":        {[]*clusterpb.SpecRecord{whole, broken}, spec("now", 3), "whole", 3},
		"none whole":                  {[]*clusterpb.SpecRecord{broken}, spec("now", 3), "broken", 3},
		"scaled with the update":      {[]*clusterpb.SpecRecord{whole}, spec("now", 5), "whole", 3},
		"scaled after the update":     {[]*clusterpb.SpecRecord{whole, record(2, 9, 0, spec("began", 3))}, spec("now", 5), "whole", 5},
		"scaled with it and after it": {[]*clusterpb.SpecRecord{whole, record(2, 9, 0, spec("began", 4))}, spec("now", 5), "whole", 5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := service(updating, func(svc *clusterpb.Service) { svc.Spec, svc.SpecVersion, svc.History = tt.now, 9, tt.history })
			untouched := proto.CloneOf(svc)
			got := rollout.Retreat(svc)
			if labelOf(got.GetSpec()) != tt.want || got.GetSpec().GetReplicated().GetReplicas() != tt.replicas {
				t.Errorf("%v, want spec %q with %d replicas", got, tt.want, tt.replicas)
			}
			if got != nil && got.GetImages()[0].GetPinned() != "web@"+tt.want {
				t.Errorf("images are %v, want those of spec %q", got.GetImages(), tt.want)
			}
			if !proto.Equal(untouched, svc) {
				t.Error("the service was changed")
			}
		})
	}
}
