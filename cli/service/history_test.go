package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// TestHistoryEntries: what rolled nothing has no outcome, and only the present
// rollout may be under way.
func TestHistoryEntries(t *testing.T) {
	svc := &clusterpb.Service{
		SpecVersion: 4, Update: &clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_UPDATING},
		History: []*clusterpb.SpecRecord{
			{Number: 1, SpecVersion: 1},
			{Number: 2, SpecVersion: 2, Rolled: true, Outcome: clusterpb.SpecRecord_OUTCOME_INTERRUPTED},
			{Number: 3, SpecVersion: 2, Outcome: clusterpb.SpecRecord_OUTCOME_INTERRUPTED},
			{Number: 4, SpecVersion: 3, Rolled: true, Outcome: clusterpb.SpecRecord_OUTCOME_ROLLED_BACK},
			{Number: 5, SpecVersion: 4, Rolled: true},
		},
	}
	var got []string
	for _, e := range entries(svc) {
		got = append(got, string(e.outcome))
	}
	if diff := cmp.Diff([]string{"", "interrupted", "", "rolled_back", "updating", ""}, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}
