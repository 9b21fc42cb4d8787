package progress

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// start is when everything in these tests began.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// parseTasks reads "SLOT:STATE@SPECVERSION" words. A trailing ! marks a task
// that managers wanted gone before it ended, a trailing . one of which they ask
// no more since it ended, a trailing c a canary. A task is newer than those
// before it.
func parseTasks(t *testing.T, s string) (tasks []*clusterpb.Task) {
	t.Helper()
	for i, word := range strings.Fields(s) {
		task := &clusterpb.Task{
			Id: fmt.Sprintf("task%d", i), NodeId: "node", ServiceName: "web", Desired: lifecycle.Running,
			CreatedAt: timestamppb.New(start.Add(time.Duration(i) * time.Second)),
			Spec:      &clusterpb.TaskSpec{}, Status: &clusterpb.TaskStatus{AppliedAt: timestamppb.New(start.Add(time.Minute))},
		}
		if rest, gone := strings.CutSuffix(word, "!"); gone {
			word, task.Desired, task.DesiredAt = rest, lifecycle.Shutdown, timestamppb.New(start)
		}
		if rest, left := strings.CutSuffix(word, "."); left {
			word, task.Desired, task.DesiredAt = rest, lifecycle.Shutdown, timestamppb.New(start.Add(2*time.Minute))
		}
		if rest, canary := strings.CutSuffix(word, "c"); canary {
			word, task.Canary = rest, true
		}
		slot, rest, _ := strings.Cut(word, ":")
		state, version, _ := strings.Cut(rest, "@")
		n, err := strconv.ParseUint(slot, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		task.Slot = uint32(n)
		if task.SpecVersion, err = strconv.ParseUint(version, 10, 64); err != nil {
			t.Fatal(err)
		}
		task.Restarts = task.SpecVersion // another version, another content
		var ok bool
		if task.Status.State, ok = lifecycle.Parse(state); !ok {
			t.Fatalf("no state %q", state)
		}
		if lifecycle.Ended(task.Status.State) && task.Status.State != lifecycle.Complete {
			task.Status.Err = "exit 1"
		}
		tasks = append(tasks, task)
	}
	return tasks
}

func service(replicas uint32, specVersion uint64, state clusterpb.UpdateStatus_State) *clusterpb.Service {
	svc := &clusterpb.Service{
		Id: "svc", Version: specVersion, SpecVersion: specVersion, Restarts: specVersion,
		Spec: &clusterpb.ServiceSpec{
			Name:   "web",
			Mode:   &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: replicas}},
			Task:   new(clusterpb.TaskSpec),
			Update: &clusterpb.UpdateConfig{Monitor: durationpb.New(0)},
		},
	}
	if state != clusterpb.UpdateStatus_STATE_UNSPECIFIED {
		svc.Update = &clusterpb.UpdateStatus{State: state, StartedAt: timestamppb.New(start.Add(time.Duration(specVersion) * time.Hour))}
	}
	return svc
}

const (
	none       = clusterpb.UpdateStatus_STATE_UNSPECIFIED
	updating   = clusterpb.UpdateStatus_STATE_UPDATING
	paused     = clusterpb.UpdateStatus_STATE_PAUSED
	completed  = clusterpb.UpdateStatus_STATE_COMPLETED
	rolling    = clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED
	rollPaused = clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED
	rolledBack = clusterpb.UpdateStatus_STATE_ROLLBACK_COMPLETED
	canary     = clusterpb.UpdateStatus_STATE_CANARY
)

// routed is a view of a service that all nodes route as it is.
func routed(svc *clusterpb.Service, tasks []*clusterpb.Task) *controlpb.FollowServiceResponse {
	return &controlpb.FollowServiceResponse{Service: svc, Tasks: tasks, Routed: true}
}

func TestVerdict(t *testing.T) {
	tests := map[string]struct {
		svc   *clusterpb.Service
		goal  Goal
		tasks string
		want  Verdict
	}{
		"no tasks yet":            {svc: service(2, 1, none), want: Waiting},
		"one is missing":          {svc: service(2, 1, none), tasks: "1:running@1", want: Waiting},
		"one is starting":         {svc: service(2, 1, none), tasks: "1:running@1 2:starting@1", want: Waiting},
		"all run":                 {svc: service(2, 1, none), tasks: "1:running@1 2:running@1", want: Converged},
		"none are asked for":      {svc: service(0, 1, none), want: Converged},
		"scaled to none":          {svc: service(0, 1, none), tasks: "1:running@1!", want: Converged},
		"one is to stop":          {svc: service(1, 1, none), tasks: "1:running@1!", want: Waiting},
		"replaced after failure":  {svc: service(1, 1, none), tasks: "1:failed@1! 1:running@1", want: Converged},
		"failed, restart due":     {svc: service(1, 1, none), tasks: "1:failed@1! 1:ready@1", want: Waiting},
		"update under way":        {svc: service(1, 2, updating), tasks: "1:running@2", want: Waiting},
		"update completed":        {svc: service(1, 2, completed), tasks: "1:shutdown@1! 1:running@2", want: Converged},
		"completed, then failed":  {svc: service(1, 2, completed), tasks: "1:failed@2! 1:starting@2", want: Waiting},
		"update paused":           {svc: service(1, 2, paused), tasks: "1:failed@2!", want: Paused},
		"rolling back":            {svc: service(1, 3, rolling), tasks: "1:running@3", want: Waiting},
		"rolled back":             {svc: service(1, 3, rolledBack), tasks: "1:running@3", want: RolledBack},
		"rollback paused":         {svc: service(1, 3, rollPaused), tasks: "1:failed@3!", want: Paused},
		"rolled back as asked":    {svc: service(1, 3, rolledBack), goal: Goal{Rollback: true}, tasks: "1:running@3", want: Converged},
		"canaries run":            {svc: service(1, 2, canary), tasks: "1:running@1 1:running@2c", want: Canary},
		"canaries of nothing":     {svc: auto(service(0, 2, canary)), want: Canary},
		"that promote themselves": {svc: auto(service(1, 2, canary)), tasks: "1:running@1 1:running@2c", want: Waiting},
		"an older view":           {svc: service(1, 1, none), goal: Goal{Version: 2}, tasks: "1:running@1", want: Waiting},
		"an older rollout status": {svc: service(1, 1, paused), goal: Goal{Rollout: 5}, tasks: "1:running@1", want: Waiting},
		"update not begun yet": {
			svc: service(1, 2, none), goal: Goal{Before: service(1, 1, none)}, tasks: "1:running@1", want: Waiting,
		},
		"scaled while an old update is paused": {
			svc: service(2, 2, paused), goal: Goal{Before: service(2, 2, paused)}, tasks: "1:running@1 2:running@2", want: Converged,
		},
		"scaled after an old rollback": {
			svc: service(1, 2, rolledBack), goal: Goal{Before: service(1, 2, rolledBack)}, tasks: "1:running@2", want: Converged,
		},
		"scaled during an update that then fails": {
			svc: service(1, 2, paused), goal: Goal{Before: service(1, 2, updating)}, tasks: "1:failed@2!", want: Paused,
		},
		"another update is paused": {
			svc: service(1, 3, paused), goal: Goal{Before: service(1, 2, paused)}, tasks: "1:running@2", want: Paused,
		},
		"scaled down to other slots":            {svc: service(3, 1, none), tasks: "1:running@1 2:shutdown@1! 3:running@1 4:running@1 9:shutdown@1!", want: Converged},
		"to the last ones":                      {svc: service(2, 1, none), tasks: "9:running@1 10:running@1 1:running@1!", want: Converged},
		"still too many":                        {svc: service(1, 1, none), tasks: "3:running@1 4:running@1", want: Waiting},
		"updated in other slots":                {svc: service(2, 2, completed), tasks: "3:shutdown@1! 3:running@2 7:running@2", want: Converged},
		"one of the other slots is to come":     {svc: service(2, 2, none), tasks: "3:running@2 7:shutdown@1! 7:starting@2", want: Waiting},
		"one of the other slots has no task":    {svc: service(2, 1, none), tasks: "3:running@1 7:failed@1!", want: Waiting},
		"scaled up beside them":                 {svc: service(3, 1, none), tasks: "3:running@1 7:running@1 1:running@1", want: Converged},
		"one of the other slots ended for good": {svc: service(2, 1, none), tasks: "3:running@1 7:complete@1.", want: Ended},
		"update completed with failures":        {svc: flawed(service(1, 2, completed)), tasks: "1:failed@2! 1:running@2", want: Flawed},
		"a rollback asked for, with failures": {
			svc: flawed(service(1, 3, rolledBack)), goal: Goal{Rollback: true}, tasks: "1:running@3", want: Flawed,
		},
		"scaled after failures of an old update": {
			svc: flawed(service(1, 2, completed)), goal: Goal{Before: flawed(service(1, 2, completed))}, tasks: "1:running@2", want: Converged,
		},
		"removed": {svc: nil, want: Removed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := NewTracker(tt.goal).Look(routed(tt.svc, parseTasks(t, tt.tasks)), start.Add(time.Hour))
			if got.Verdict != tt.want {
				t.Errorf("verdict = %d, want %d; report %+v", got.Verdict, tt.want, got)
			}
		})
	}
}

func auto(svc *clusterpb.Service) *clusterpb.Service {
	svc.Spec.Update.Promote = clusterpb.UpdateConfig_PROMOTE_AUTO
	return svc
}

func flawed(svc *clusterpb.Service) *clusterpb.Service {
	svc.Update.Progress = []*clusterpb.SlotUpdate{{Slot: 1, Failed: true, Err: "exit 1"}}
	return svc
}

// TestSlotsShown: while a slot has no task that is wanted, as between the stop
// of one and the start of the next, the one that stops stands for it.
func TestSlotsShown(t *testing.T) {
	for tasks, want := range map[string]string{
		"3:running@1 7:running@1!":            "3 7",
		"3:running@1 7:running@1! 1:failed@1": "1 3",
		"3:running@1":                         "1 3",
		"":                                    "1 2",
	} {
		var got []string
		for _, s := range NewTracker(Goal{}).Look(routed(service(2, 1, none), parseTasks(t, tasks)), start).Slots {
			got = append(got, fmt.Sprint(s.Number))
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%q shows the slots %s, want %s", tasks, g, want)
		}
	}
}

func TestCanaryThatPromotesItselfIsWaitedFor(t *testing.T) {
	svc := service(1, 2, canary)
	svc.Spec.Update.Promote = clusterpb.UpdateConfig_PROMOTE_AUTO
	tasks := parseTasks(t, "1:running@1 1:running@2c")
	if got := NewTracker(Goal{}).Look(routed(svc, tasks), start); got.Verdict != Waiting {
		t.Errorf("auto: verdict = %d, want to wait", got.Verdict)
	}
	svc.Spec.Update.Promote = clusterpb.UpdateConfig_PROMOTE_MANUAL
	svc.Update.Promoted = true
	if got := NewTracker(Goal{}).Look(routed(svc, tasks), start); got.Verdict != Waiting {
		t.Errorf("promoted: verdict = %d, want to wait", got.Verdict)
	}
}

// TestTasksThatAreNotRestarted: managers say of a task that they let it be as it
// ended. Whoever waits does not judge by the restart policy a second time.
func TestTasksThatAreNotRestarted(t *testing.T) {
	tests := map[string]struct {
		slots uint32
		tasks string
		want  Verdict
	}{
		"completed":                   {1, "1:complete@1.", Ended},
		"failed":                      {1, "1:failed@1.", Ended},
		"rejected":                    {1, "1:rejected@1.", Ended},
		"not judged yet":              {1, "1:failed@1", Waiting},
		"asked to stop before":        {1, "1:failed@1!", Waiting},
		"of another spec":             {1, "1:failed@2.", Waiting},
		"another follows":             {1, "1:failed@1. 1:starting@1", Waiting},
		"another followed and failed": {1, "1:failed@1. 1:failed@1", Waiting},
		"one of a spec that is back":  {1, "1:failed@1. 1:failed@2.", Waiting},
		"that one too":                {1, "1:failed@1. 1:failed@1.", Ended},
		"one may come":                {2, "1:complete@1. 2:starting@1", Waiting},
		"in slots of high numbers":    {2, "8:complete@1. 9:failed@1.", Ended},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := service(tt.slots, 1, none)
			if got := NewTracker(Goal{}).Look(routed(svc, parseTasks(t, tt.tasks)), start); got.Verdict != tt.want {
				t.Errorf("verdict = %d, want %d", got.Verdict, tt.want)
			}
		})
	}
}

func TestTasksMustRunForTheMonitorPeriod(t *testing.T) {
	svc := service(1, 1, none)
	svc.Spec.Update = nil // 5 s by default
	tracker := NewTracker(Goal{})
	look := func(tasks string, after time.Duration) Report {
		return tracker.Look(routed(svc, parseTasks(t, tasks)), start.Add(after))
	}
	if r := look("1:running@1", 0); r.Verdict != Waiting || r.Again != 5*time.Second {
		t.Errorf("at first: verdict %d, again in %s, want to wait 5s", r.Verdict, r.Again)
	}
	if r := look("1:running@1", 4*time.Second); r.Verdict != Waiting || r.Again != time.Second {
		t.Errorf("after 4s: verdict %d, again in %s, want to wait 1s", r.Verdict, r.Again)
	}
	if r := look("1:failed@1! 1:running@1", 5*time.Second); r.Verdict != Waiting || r.Again != 5*time.Second {
		t.Errorf("with another task: verdict %d, again in %s, want to wait anew", r.Verdict, r.Again)
	}
	if r := look("1:failed@1! 1:running@1", 10*time.Second); r.Verdict != Converged {
		t.Errorf("after 5s with that: verdict %d, want converged", r.Verdict)
	}
}

// TestNodesMustRoute: what runs is not all. Until every node routes to it, a
// request may go to a task that is no more, or to none.
func TestNodesMustRoute(t *testing.T) {
	tracker := NewTracker(Goal{})
	look := func(v *controlpb.FollowServiceResponse, after time.Duration) Report {
		return tracker.Look(v, start.Add(after))
	}
	behind := routed(service(1, 2, completed), parseTasks(t, "1:running@2"))
	behind.Routed = false
	updates := routed(service(1, 3, updating), parseTasks(t, "1:running@2"))
	for i, tt := range []struct {
		view    *controlpb.FollowServiceResponse
		after   time.Duration
		verdict Verdict
		again   time.Duration
		gaveUp  bool
	}{
		{view: behind, after: 0, again: 5 * time.Second},
		{view: behind, after: 4 * time.Second, again: time.Second},
		{view: updates, after: 5 * time.Second},
		{view: behind, after: 6 * time.Second, again: 5 * time.Second},
		{view: behind, after: 11 * time.Second, verdict: Converged, gaveUp: true},
		{view: routed(behind.GetService(), behind.GetTasks()), after: 11 * time.Second, verdict: Converged},
	} {
		r := look(tt.view, tt.after)
		if r.Verdict != tt.verdict || r.Again != tt.again || r.Unrouted != tt.gaveUp {
			t.Errorf("%d: verdict %d, again in %s, unrouted %t; want %+v", i, r.Verdict, r.Again, r.Unrouted, tt)
		}
	}
}

func TestPlacementAloneKeepsTasksCurrent(t *testing.T) {
	svc := service(1, 2, completed)
	svc.Spec.Task = &clusterpb.TaskSpec{Placement: &clusterpb.Placement{MaxPerNode: 1}}
	tasks := parseTasks(t, "1:running@1")
	tasks[0].Spec, tasks[0].Restarts = &clusterpb.TaskSpec{}, svc.GetRestarts()
	if got := NewTracker(Goal{}).Look(routed(svc, tasks), start); got.Verdict != Converged {
		t.Errorf("verdict = %d, want converged", got.Verdict)
	}
}

func TestFailure(t *testing.T) {
	tasks := parseTasks(t, "1:failed@1! 2:rejected@1! 1:running@1")
	svc := service(2, 1, none)
	if got := NewTracker(Goal{}).Look(routed(svc, tasks), start).Failure; got.TaskID != "task1" || got.Err != "exit 1" {
		t.Errorf("failure = %+v, want the last task that failed", got)
	}
	svc.Update = &clusterpb.UpdateStatus{State: paused, Progress: []*clusterpb.SlotUpdate{
		{Slot: 1, Failed: true, TaskId: "task0", Err: "exit 7"},
	}}
	want := Failure{TaskID: "task0", NodeID: "node", Slot: 1, Err: "exit 7"}
	if got := NewTracker(Goal{}).Look(routed(svc, tasks), start).Failure; got != want {
		t.Errorf("failure = %+v, want the one that the update counted: %+v", got, want)
	}
}

func TestLines(t *testing.T) {
	svc := service(4, 2, updating)
	tasks := parseTasks(t, "1:running@1! 1:running@2 2:running@1 3:failed@2! 3:ready@2")
	tasks[1].NodeId = ""
	tasks[4].StartAfter = timestamppb.New(start.Add(9 * time.Second))
	tasks[4].Status.Message = "prepared"
	r := NewTracker(Goal{}).Look(routed(svc, tasks), start)
	got := strings.Join(view{"web", func(id string) string { return id + "1" }}.lines(r, maxLines), "\n")
	want := strings.Join([]string{
		"web: 1 of 4 running, 1 as before, updating",
		"  web.1  running",
		"  web.2  running    on node1  waits for its turn",
		"  web.3  ready      on node1  restarts in 9s, the last one failed: exit 1",
		"  web.4  new        no task yet",
	}, "\n")
	if got != want {
		t.Errorf("lines:\n%s\nwant:\n%s", got, want)
	}
}

// TestCount: what served before the change does so until its turn, and is not
// what runs now; what is asked to stop is neither.
func TestCount(t *testing.T) {
	for name, tt := range map[string]struct {
		svc         *clusterpb.Service
		tasks, want string
		slot        string // how the last line ends
	}{
		"start-first, the new ones find no node": {
			service(3, 2, paused), "1:running@1 2:running@1 3:running@1 1:pending@2",
			"0 of 3 running, 3 as before, update paused", "waits for its turn",
		},
		"stop-first, under way": {
			service(3, 2, updating), "1:running@1! 1:running@2 2:running@1! 2:starting@2 3:running@1",
			"1 of 3 running, 1 as before, updating", "waits for its turn",
		},
		"scaled up while the old ones of the slots stop": {
			service(3, 1, none), "1:running@1 2:running@1! 3:running@1!", "1 of 3 running", "running    on node  is asked to stop",
		},
		"all updated":        {service(1, 2, completed), "1:running@1! 1:running@2", "1 of 1 running", "running    on node"},
		"canary beside them": {service(1, 2, canary), "1:running@1 1:running@2c", "0 of 1 running, 1 as before, canary", "running    on node"},
	} {
		r := NewTracker(Goal{}).Look(routed(tt.svc, parseTasks(t, tt.tasks)), start)
		lines := view{"web", func(id string) string { return id }}.lines(r, maxLines)
		if want := "web: " + tt.want; lines[0] != want || !strings.HasSuffix(lines[len(lines)-1], tt.slot) {
			t.Errorf("%s: %q, want %q first and %q last", name, lines, want, tt.slot)
		}
	}
}

func TestLargeServicesShowWhatDoesNotRun(t *testing.T) {
	var words []string
	for i := 1; i <= 30; i++ {
		state := "running"
		if i > 28 {
			state = "pending"
		}
		words = append(words, fmt.Sprintf("%d:%s@1", i, state))
	}
	r := NewTracker(Goal{}).Look(routed(service(30, 1, none), parseTasks(t, strings.Join(words, " "))), start)
	got := view{"web", func(string) string { return "n" }}.lines(r, maxLines)
	if len(got) != 3 || !strings.Contains(got[1], "web.29") || !strings.Contains(got[2], "web.30") {
		t.Errorf("lines = %q, want the headline and the two that do not run", got)
	}
	r = NewTracker(Goal{}).Look(routed(service(30, 1, none), nil), start)
	if got := (view{"web", nil}).lines(r, maxLines); len(got) != maxLines+2 || got[maxLines+1] != "  and 10 more" {
		t.Errorf("%d lines, the last %q, want the rest counted", len(got), got[len(got)-1])
	}
}
