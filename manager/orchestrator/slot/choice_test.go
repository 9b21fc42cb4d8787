package slot

import (
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
)

// proven is web after an update from version 1, which was rolled out whole, and
// a broken version 5 in between.
func proven(update *clusterpb.UpdateStatus, canary uint32) *clusterpb.Service {
	svc := web(update, canary)
	svc.SpecVersion = 9
	first := &clusterpb.ServiceSpec{
		Name: "web", Labels: map[string]string{"tier": "old"}, Task: image("v1"), Ports: []*clusterpb.Port{{Target: 81}},
	}
	pod.Main(first.GetTask()).Env = []string{"TIER={{.Service.Labels.tier}}"}
	svc.History = []*clusterpb.SpecRecord{
		{Number: 1, SpecVersion: 1, Spec: first, Images: content("old"), Restarts: 2},
		{Number: 2, SpecVersion: 5, Spec: &clusterpb.ServiceSpec{Task: image("broken")}, Outcome: clusterpb.SpecRecord_OUTCOME_INTERRUPTED},
	}
	return svc
}

// TestNewSlots: until a rollout is over, slots that are added get what was rolled
// out whole before, with all that stood beside it.
func TestNewSlots(t *testing.T) {
	is := func(s clusterpb.UpdateStatus_State) *clusterpb.UpdateStatus { return &clusterpb.UpdateStatus{State: s} }
	some := []Slot{{Number: 1, Tasks: []*clusterpb.Task{ofVersion(1)}}}
	tests := map[string]struct {
		svc   *clusterpb.Service
		slots []Slot
		want  string
	}{
		"no rollout":                     {proven(nil, 0), some, "v2"},
		"one that is over":               {proven(is(clusterpb.UpdateStatus_STATE_COMPLETED), 0), some, "v2"},
		"one under way":                  {proven(is(clusterpb.UpdateStatus_STATE_UPDATING), 0), some, "v1"},
		"one under way, of nothing":      {proven(is(clusterpb.UpdateStatus_STATE_UPDATING), 0), nil, "v2"},
		"paused":                         {proven(is(clusterpb.UpdateStatus_STATE_PAUSED), 0), some, "v1"},
		"paused, of nothing":             {proven(is(clusterpb.UpdateStatus_STATE_PAUSED), 0), nil, "v1"},
		"canaries":                       {proven(is(clusterpb.UpdateStatus_STATE_CANARY), 1), some, "v1"},
		"canaries, of nothing":           {proven(is(clusterpb.UpdateStatus_STATE_CANARY), 1), nil, "v1"},
		"canaries to come, of nothing":   {proven(is(clusterpb.UpdateStatus_STATE_UPDATING), 1), nil, "v1"},
		"a rollback":                     {proven(is(clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED), 0), some, "v2"},
		"a paused rollback":              {proven(is(clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED), 0), some, "v2"},
		"one without anything before it": {web(is(clusterpb.UpdateStatus_STATE_PAUSED), 0), some, "v2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := TemplateForNew(tt.svc, tt.slots)
			if have := pod.Main(got.Spec).GetImage(); have != tt.want {
				t.Fatalf("image %s, want %s", have, tt.want)
			}
			if tt.want != "v1" {
				return
			}
			if got.SpecVersion != 1 || got.Restarts != 2 || got.Images[0].GetPinned() != "old" || got.Ports[0].GetTarget() != 81 || got.ServiceLabels["tier"] != "old" {
				t.Errorf("%+v is not whole", got)
			}
		})
	}
}

// TestWhatServesIsMovedAsItIs, during a rollback too; what serves nothing then
// gets the spec that this leads to.
func TestWhatServesIsMovedAsItIs(t *testing.T) {
	serving := func(version uint64) *clusterpb.Task {
		task := ofVersion(version)
		task.Desired, task.Status = lifecycle.Running, &clusterpb.TaskStatus{State: lifecycle.Running}
		return task
	}
	canary := serving(9)
	canary.Canary = true
	const updating, back = clusterpb.UpdateStatus_STATE_UPDATING, clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED
	tests := map[string]struct {
		state clusterpb.UpdateStatus_State
		tasks []*clusterpb.Task
		want  uint64
	}{
		"an update":                             {updating, []*clusterpb.Task{serving(1)}, 1},
		"behind a newer one that does not":      {updating, []*clusterpb.Task{ofVersion(5), serving(1)}, 1},
		"the newest of those that do not":       {updating, []*clusterpb.Task{ofVersion(5), ofVersion(1)}, 5},
		"nothing is left but a canary":          {updating, []*clusterpb.Task{canary}, 1},
		"a rollback":                            {back, []*clusterpb.Task{serving(5)}, 5},
		"a rollback, and it serves no more":     {back, []*clusterpb.Task{ofVersion(5)}, 9},
		"it has the new spec and was not taken": {updating, []*clusterpb.Task{serving(9)}, 9},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := TemplateFor(proven(&clusterpb.UpdateStatus{State: tt.state}, 0), Slot{Number: 1, Tasks: tt.tasks})
			if got.SpecVersion != tt.want {
				t.Errorf("version %d, want %d", got.SpecVersion, tt.want)
			}
		})
	}
}
