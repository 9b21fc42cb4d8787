package rollout_test

import (
	"slices"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/rollout"
)

func task(id string, slot uint32, version uint64, canary bool, observed clusterpb.TaskState) *clusterpb.Task {
	return &clusterpb.Task{
		Id: id, Slot: slot, SpecVersion: version, Canary: canary, Desired: lifecycle.Running,
		Status: &clusterpb.TaskStatus{State: observed},
	}
}

func TestIsOnTrial(t *testing.T) {
	some := service(canaries, withCanaries(1), func(svc *clusterpb.Service) { svc.Update.Slots = 3 })
	all := service(canaries, withCanaries(3), func(svc *clusterpb.Service) { svc.Update.Slots = 3 })
	tests := map[string]struct {
		svc  *clusterpb.Service
		task *clusterpb.Task
		want bool
	}{
		"an ordinary task":            {all, task("t", 1, 2, false, lifecycle.Running), false},
		"one of some canaries":        {some, task("t", 1, 2, true, lifecycle.Running), false},
		"one of all":                  {all, task("t", 1, 2, true, lifecycle.Running), true},
		"of a rollout that is over":   {some, task("t", 1, 1, true, lifecycle.Running), true},
		"of a service that is gone":   {nil, task("t", 1, 2, true, lifecycle.Running), true},
		"an old task of the service":  {all, task("t", 1, 1, false, lifecycle.Running), false},
		"ordinary, of a gone service": {nil, task("t", 1, 2, false, lifecycle.Running), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := rollout.IsOnTrial(tt.svc, tt.task); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestTakeOver(t *testing.T) {
	old1, old2 := task("old1", 1, 1, false, lifecycle.Running), task("old2", 2, 1, false, lifecycle.Running)
	gone := task("gone", 1, 1, false, lifecycle.Running)
	gone.Desired = lifecycle.Shutdown
	new1, new2 := task("new1", 1, 2, true, lifecycle.Running), task("new2", 2, 2, true, lifecycle.Running)
	starting := task("new2", 2, 2, true, lifecycle.Starting)
	tests := map[string]struct {
		canary             uint32
		tasks              []*clusterpb.Task
		promoted, replaced []string
	}{
		"one of two":                  {1, []*clusterpb.Task{old1, old2, new1}, []string{"new1"}, []string{"old1"}},
		"all":                         {2, []*clusterpb.Task{old1, old2, new1, new2}, []string{"new1", "new2"}, []string{"old1", "old2"}},
		"all, of which one serves":    {2, []*clusterpb.Task{old1, old2, new1, starting}, []string{"new1", "new2"}, []string{"old1", "old2"}},
		"all, none of which serves":   {2, []*clusterpb.Task{old2, starting}, []string{"new2"}, nil},
		"some, of which one serves":   {1, []*clusterpb.Task{old1, old2, new1, starting}, []string{"new1", "new2"}, []string{"old1"}},
		"what goes already":           {1, []*clusterpb.Task{gone, new1}, []string{"new1"}, nil},
		"canaries of another rollout": {1, []*clusterpb.Task{old1, task("other", 1, 1, true, lifecycle.Running)}, nil, nil},
		"no canaries":                 {0, []*clusterpb.Task{old1, task("n", 1, 2, false, lifecycle.Running)}, nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := service(canaries, withCanaries(tt.canary), func(svc *clusterpb.Service) { svc.Update.Slots = 2 })
			promoted, replaced := rollout.TakeOver(svc, tt.tasks)
			if got := ids(promoted); !slices.Equal(got, tt.promoted) {
				t.Errorf("promoted %v, want %v", got, tt.promoted)
			}
			if got := ids(replaced); !slices.Equal(got, tt.replaced) {
				t.Errorf("replaced %v, want %v", got, tt.replaced)
			}
		})
	}
}

func ids(tasks []*clusterpb.Task) (list []string) {
	for _, t := range tasks {
		list = append(list, t.GetId())
	}
	return list
}
