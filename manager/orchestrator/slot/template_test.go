package slot

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/proto/spec"
)

// image is a task's spec that runs only that image.
func image(name string) *clusterpb.TaskSpec {
	return &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: name}}}
}

// content is what the image stands for.
func content(pinned string) []*clusterpb.ResolvedImage {
	return []*clusterpb.ResolvedImage{{Image: "v2", Pinned: pinned}}
}

// web is at version 2, image v2 and port 80; its tasks of version 1 have image v1 and port 81.
func web(update *clusterpb.UpdateStatus, canary uint32) *clusterpb.Service {
	return &clusterpb.Service{
		Id: "s1", SpecVersion: 2, Images: content("new"), Ports: []*clusterpb.Port{{Target: 80}}, Update: update, Restarts: 3,
		Spec: &clusterpb.ServiceSpec{Name: "web", Task: image("v2"), Update: &clusterpb.UpdateConfig{Canary: canary}},
	}
}

func ofVersion(v uint64) *clusterpb.Task {
	t := &clusterpb.Task{Slot: 1, SpecVersion: v, Restarts: 3, Spec: image("v2"), Images: content("new"), Ports: []*clusterpb.Port{{Target: 80}}}
	if v == 1 {
		t.Spec, t.Images, t.Restarts, t.Ports = image("v1"), nil, 2, []*clusterpb.Port{{Target: 81}}
	}
	return t
}

// What replaces a failed task must not carry a rollout on that is held.
func TestReplacementDuringARollout(t *testing.T) {
	const (
		updating = clusterpb.UpdateStatus_STATE_UPDATING
		canary   = clusterpb.UpdateStatus_STATE_CANARY
		paused   = clusterpb.UpdateStatus_STATE_PAUSED
		back     = clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED
		held     = clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED
		done     = clusterpb.UpdateStatus_STATE_COMPLETED
	)
	taken := []*clusterpb.SlotUpdate{{Slot: 1}}
	tests := map[string]struct {
		update *clusterpb.UpdateStatus
		canary uint32
		tasks  []uint64 // versions, the newest first
		want   uint64
	}{
		"no rollout":                           {nil, 0, []uint64{1}, 2},
		"one under way, slot not taken":        {&clusterpb.UpdateStatus{State: updating}, 0, []uint64{1}, 1},
		"one under way, slot taken":            {&clusterpb.UpdateStatus{State: updating, Progress: taken}, 0, []uint64{2, 1}, 2},
		"one that is over":                     {&clusterpb.UpdateStatus{State: done}, 0, []uint64{1}, 2},
		"a rollback under way":                 {&clusterpb.UpdateStatus{State: back}, 0, []uint64{1}, 2},
		"paused before the slot":               {&clusterpb.UpdateStatus{State: paused}, 0, []uint64{1}, 1},
		"paused after the slot":                {&clusterpb.UpdateStatus{State: paused, Progress: taken}, 0, []uint64{2, 1}, 2},
		"a rollback paused before the slot":    {&clusterpb.UpdateStatus{State: held}, 0, []uint64{1}, 1},
		"paused, and the slot is new":          {&clusterpb.UpdateStatus{State: paused}, 0, []uint64{2}, 2},
		"paused, and the slot has no task":     {&clusterpb.UpdateStatus{State: paused}, 0, nil, 2},
		"canaries not all up, slot not taken":  {&clusterpb.UpdateStatus{State: updating}, 1, []uint64{1}, 1},
		"canaries not all up, slot of one":     {&clusterpb.UpdateStatus{State: updating, Progress: taken}, 1, []uint64{2, 1}, 1},
		"canaries wait, slot not taken":        {&clusterpb.UpdateStatus{State: canary}, 1, []uint64{1}, 1},
		"canaries wait, slot of one":           {&clusterpb.UpdateStatus{State: canary, Progress: taken}, 1, []uint64{2, 1}, 1},
		"canaries promoted, slot not taken":    {&clusterpb.UpdateStatus{State: updating, Promoted: true}, 1, []uint64{1}, 1},
		"canaries promoted, slot taken":        {&clusterpb.UpdateStatus{State: updating, Promoted: true, Progress: taken}, 1, []uint64{2, 1}, 2},
		"canaries promoted, then paused":       {&clusterpb.UpdateStatus{State: paused, Promoted: true}, 1, []uint64{1}, 1},
		"canaries promoted, paused, slot done": {&clusterpb.UpdateStatus{State: paused, Promoted: true, Progress: taken}, 1, []uint64{2, 1}, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := Slot{Number: 1}
			for _, v := range tt.tasks {
				s.Tasks = append(s.Tasks, ofVersion(v))
			}
			got := TemplateFor(web(tt.update, tt.canary), s)
			want := ofVersion(tt.want)
			if got.SpecVersion != tt.want || pod.Main(got.Spec).GetImage() != pod.Main(want.GetSpec()).GetImage() ||
				!spec.SameTask(got.Spec, want.GetSpec(), got.Images, want.GetImages()) || !spec.SamePorts(got.Ports, want.GetPorts()) || got.Restarts != want.GetRestarts() {
				t.Errorf("version %d, %s, ports %v; want version %d, %v, whole", got.SpecVersion, pod.Main(got.Spec).GetImage(), got.Ports, tt.want, want)
			}
			if got.ServiceID != "s1" || got.ServiceName != "web" {
				t.Errorf("it is of service %s (%s)", got.ServiceID, got.ServiceName)
			}
		})
	}
}

func TestNewTask(t *testing.T) {
	now := epoch.Add(time.Hour)
	got := Current(web(nil, 0)).Task("new", 4, nil, now)
	switch {
	case got.GetId() != "new" || got.GetSlot() != 4 || got.GetServiceId() != "s1" || got.GetServiceName() != "web":
		t.Errorf("it is %v", got)
	case got.GetDesired() != lifecycle.Running || got.GetStatus().GetState() != lifecycle.New || got.GetNodeId() != "":
		t.Errorf("it is wanted %s, seen %s, on %q", got.GetDesired(), got.GetStatus().GetState(), got.GetNodeId())
	case got.GetSpecVersion() != 2 || pod.Main(got.GetSpec()).GetImage() != "v2" || len(got.GetPorts()) != 1:
		t.Errorf("it does not follow the service: %v", got)
	case !got.GetCreatedAt().AsTime().Equal(now) || !got.GetStatus().GetAt().AsTime().Equal(now):
		t.Errorf("it is of %s", got.GetCreatedAt().AsTime())
	case got.GetPredecessor() != "" || got.GetHold() || got.GetCanary():
		t.Errorf("it waits for another: %v", got)
	}
}

// TestLabelsForTemplates: a task has the service's labels for its templates, of
// the same time as its spec, and only where one asks.
func TestLabelsForTemplates(t *testing.T) {
	svc := web(&clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_PAUSED}, 0)
	svc.Spec.Labels = map[string]string{"tier": "new"}
	if got := Current(svc).Task("a", 1, nil, epoch).GetServiceLabels(); got != nil {
		t.Errorf("without a template: %v", got)
	}
	pod.Main(svc.GetSpec().GetTask()).Env = []string{"TIER={{.Service.Labels.tier}}"}
	if got := Current(svc).Task("a", 1, nil, epoch).GetServiceLabels(); got["tier"] != "new" {
		t.Errorf("of a new task: %v", got)
	}
	old := ofVersion(1)
	old.ServiceLabels = map[string]string{"tier": "old"}
	if got := TemplateFor(svc, Slot{Number: 1, Tasks: []*clusterpb.Task{old}}).ServiceLabels; got["tier"] != "old" {
		t.Errorf("beside a spec from before: %v", got)
	}
}

// A leader's clock may be behind that of the one before it. The order within a
// slot, which everything here reads off the creation times, must hold still.
func TestNewTaskIsTheNewestEvenIfTheClockIsBehind(t *testing.T) {
	tests := map[string]time.Duration{ // of the leader's clock, from the newest task
		"ahead":    time.Minute,
		"the same": 0,
		"behind":   -time.Minute,
	}
	for name, clock := range tests {
		t.Run(name, func(t *testing.T) {
			s := group(t, "1:failed 1:failed 1:failed")[0]
			now := s.Newest().GetCreatedAt().AsTime().Add(clock)
			next := Current(web(nil, 0)).Successor("next", s, s.Newest(), now)
			if next.GetPredecessor() != "t3" || next.GetSlot() != 1 {
				t.Errorf("it succeeds %s in slot %d", next.GetPredecessor(), next.GetSlot())
			}
			if lifecycle.NewestFirst(next, s.Newest()) >= 0 {
				t.Errorf("created at %s, it is not newer than one of %s", next.GetCreatedAt().AsTime(), s.Newest().GetCreatedAt().AsTime())
			}
			if !next.GetStatus().GetAt().AsTime().Equal(now) {
				t.Errorf("its state is of %s, want the clock's %s", next.GetStatus().GetAt().AsTime(), now)
			}
		})
	}
}

func TestHoldBackPreparesWithoutStarting(t *testing.T) {
	task := HoldBack(Current(web(nil, 0)).Task("new", 1, nil, epoch))
	if task.GetDesired() != lifecycle.Ready || !task.GetHold() {
		t.Errorf("wanted %s, held %t", task.GetDesired(), task.GetHold())
	}
	if !lifecycle.Wanted(task) {
		t.Error("a task that is held back is not wanted")
	}
}

func TestDesireNamesTaskAndReason(t *testing.T) {
	task := &clusterpb.Task{Id: "t1", CreatedAt: timestamppb.New(epoch)}
	got := Desire(task, lifecycle.Shutdown, "too many").GetSetDesired()
	if got.GetId() != "t1" || got.GetDesired() != lifecycle.Shutdown || got.GetReason() != "too many" {
		t.Errorf("the change is %v", got)
	}
}
