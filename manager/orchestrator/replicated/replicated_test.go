package replicated

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/control/controltest"
	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// TestPlan writes tasks, the oldest of a slot first, as SLOT:STATE[@NODE],
// with ! when they are asked to stop, ~ when they are held at READY, ? when no
// node may run them, and a leading v2: for those of another spec. Nodes are a and
// b, down, drain, stop (which shuts down), and gone.
//
// Changes are +SLOT (a task that may run), +SLOT~ (one that has to wait),
// +SLOT^ (one that is not prepared either),
// -TASK (asked to stop), xTASK (to be removed); tasks are t1, t2, … in the
// order given.
func TestPlan(t *testing.T) {
	startFirst := func(s *clusterpb.ServiceSpec) {
		s.Update = &clusterpb.UpdateConfig{Order: clusterpb.UpdateConfig_ORDER_START_FIRST}
	}
	stopFirst := func(s *clusterpb.ServiceSpec) {
		s.Update = &clusterpb.UpdateConfig{Order: clusterpb.UpdateConfig_ORDER_STOP_FIRST}
	}
	hostPort := func(s *clusterpb.ServiceSpec) {
		s.Ports = []*clusterpb.Port{{Target: 80, Published: 80, Mode: clusterpb.Port_MODE_HOST}}
	}
	never := func(s *clusterpb.ServiceSpec) {
		s.Task.Restart = &clusterpb.RestartPolicy{Condition: clusterpb.RestartPolicy_CONDITION_NONE}
	}
	tests := map[string]struct {
		replicas uint32
		spec     func(*clusterpb.ServiceSpec)
		have     string
		want     string
	}{
		"create":                        {replicas: 2, want: "+1 +2"},
		"steady":                        {replicas: 2, have: "1:running@a 2:new"},
		"scale up fills the gap":        {replicas: 3, have: "1:running@a 3:running@b", want: "+2"},
		"slot numbers are kept":         {replicas: 2, have: "1:running@a 3:running@b"},
		"scale down":                    {replicas: 1, have: "1:running@a 2:running@b 3:running@a", want: "x3 x2"},
		"from the fullest node":         {replicas: 2, have: "1:running@b 2:running@b 3:running@a", want: "x2"},
		"what does not run goes first":  {replicas: 1, have: "1:preparing@a 2:running@a", want: "x1"},
		"with its history":              {replicas: 1, have: "1:running@a 2:failed@b! 2:failed@b", want: "x3 x2"},
		"to nothing":                    {replicas: 0, have: "1:running@a 2:failed@b", want: "x2 x1"},
		"leave the leaving alone":       {replicas: 1, have: "1:running@a 1:running@a!"},
		"a failure waits":               {replicas: 1, have: "1:failed@a", want: "+1~ -1"},
		"so does an end":                {replicas: 1, have: "1:complete@a", want: "+1~ -1"},
		"and a rejection":               {replicas: 1, have: "1:rejected@a", want: "+1^ -1"},
		"not for ever":                  {replicas: 1, have: "1:failed@a 1:ready@a~", want: "-1"},
		"unless it is not to":           {replicas: 1, spec: never, have: "1:failed@a", want: "-1"},
		"and then it stays so":          {replicas: 1, spec: never, have: "1:failed@a!"},
		"asked to stop, not replaced":   {replicas: 1, have: "1:running@a!", want: "+1~"},
		"stopped, not replaced":         {replicas: 1, have: "1:shutdown@a!", want: "+1"},
		"its node is down":              {replicas: 2, have: "1:running@down 2:running@a", want: "-1 +1"},
		"its node is gone":              {replicas: 1, have: "1:running@gone", want: "-1 +1"},
		"orphaned":                      {replicas: 1, have: "1:orphaned@gone", want: "+1 -1"},
		"down before it was restarted":  {replicas: 1, have: "1:failed@down 1:ready@down~", want: "-2 +1 -1"},
		"no delay for a lost node":      {replicas: 1, have: "1:failed@a! 1:failed@a! 1:running@down", want: "-3 +1"},
		"drain starts first":            {replicas: 1, have: "1:running@drain", want: "+1"},
		"and waits":                     {replicas: 1, have: "1:running@drain 1:starting@a"},
		"until the new one serves":      {replicas: 1, have: "1:running@drain 1:running@a", want: "-1"},
		"drain of one that is not up":   {replicas: 1, have: "1:starting@drain", want: "-1 +1~"},
		"drain with start-first":        {replicas: 1, spec: startFirst, have: "1:running@drain", want: "+1"},
		"drain with stop-first":         {replicas: 1, spec: stopFirst, have: "1:running@drain", want: "-1 +1~"},
		"drain with a host port":        {replicas: 1, spec: hostPort, have: "1:running@drain", want: "-1 +1~"},
		"drain, the new one failed":     {replicas: 1, have: "1:running@drain 1:failed@a", want: "+1~ -2"},
		"a shutdown starts first":       {replicas: 1, have: "1:running@stop", want: "+1"},
		"until the new one serves too":  {replicas: 1, have: "1:running@stop 1:running@a", want: "-1"},
		"and waits for one that comes":  {replicas: 1, have: "1:running@stop 1:starting@a", want: ""},
		"not for one without a place":   {replicas: 1, have: "1:running@stop 1:pending?", want: "-1"},
		"unless it may find one":        {replicas: 1, have: "1:running@stop 1:pending", want: ""},
		"as a drain does":               {replicas: 1, have: "1:running@drain 1:pending?", want: ""},
		"drain called off":              {replicas: 1, have: "1:running@a 1:starting@b", want: "x2"},
		"two of the same":               {replicas: 1, have: "1:new 1:running@b", want: "x1"},
		"two of different specs":        {replicas: 1, have: "1:running@a v2:1:starting@b"},
		"out of date is not its matter": {replicas: 1, have: "v2:1:running@a"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := world(t)
			w.Put("web", func(s *clusterpb.ServiceSpec) {
				s.Mode = &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: tt.replicas}}
				if tt.spec != nil {
					tt.spec(s)
				}
			})
			addTasks(t, w, tt.have)
			svc := w.Service("web")
			p := planner{svc: svc, nodes: w.State.Node, dates: slot.NewDates(svc, w.State.Node), id: w.ID, now: w.Now}
			changes := p.plan(slices.Collect(w.State.TasksOf("web")))
			if got := format(changes); got != tt.want {
				t.Errorf("plan(%d replicas, %q) = %q, want %q", tt.replicas, tt.have, got, tt.want)
			}
			// What a plan leaves behind needs no further plan.
			w.Apply(changes...)
			if again := p.plan(slices.Collect(w.State.TasksOf("web"))); again != nil {
				t.Errorf("planning again gave %q, want nothing", format(again))
			}
		})
	}
}

func world(t *testing.T) *controltest.World {
	t.Helper()
	w := controltest.New(t)
	w.AddNode("a")
	w.AddNode("b")
	w.AddNode("down", func(n *clusterpb.Node) { n.Status.State = clusterpb.NodeStatus_STATE_DOWN })
	w.AddNode("drain", func(n *clusterpb.Node) { n.Spec.Availability = clusterpb.NodeSpec_AVAILABILITY_DRAIN })
	w.AddNode("stop", func(n *clusterpb.Node) { n.Description = &clusterpb.NodeDescription{Stopping: true} })
	return w
}

func addTasks(t *testing.T, w *controltest.World, text string) {
	t.Helper()
	for i, f := range strings.Fields(text) {
		task := &clusterpb.Task{
			Id: fmt.Sprintf("t%d", i+1), ServiceId: "web", SpecVersion: w.Service("web").GetSpecVersion(), Desired: lifecycle.Running,
			CreatedAt: timestamppb.New(w.Now.Add(time.Duration(i-100) * time.Second)),
		}
		if rest, ok := strings.CutPrefix(f, "v2:"); ok {
			f, task.SpecVersion = rest, 2
		}
		if rest, ok := strings.CutSuffix(f, "!"); ok {
			f, task.Desired = rest, lifecycle.Shutdown
		}
		if rest, ok := strings.CutSuffix(f, "~"); ok {
			f, task.Desired = rest, lifecycle.Ready
		}
		f, unplaceable := strings.CutSuffix(f, "?")
		f, task.NodeId, _ = strings.Cut(f, "@")
		number, name, _ := strings.Cut(f, ":")
		observed, ok := lifecycle.Parse(name)
		if _, err := fmt.Sscan(number, &task.Slot); err != nil || !ok {
			t.Fatalf("task %q: %v", f, err)
		}
		task.Status = &clusterpb.TaskStatus{State: observed}
		if unplaceable {
			task.Status.Err = "no suitable node"
		}
		w.Apply(state.CreateTask(task))
	}
}

func format(changes []*raftpb.Change) string {
	var out []string
	for _, c := range changes {
		switch k := c.GetKind().(type) {
		case *raftpb.Change_CreateTask:
			text := fmt.Sprint("+", k.CreateTask.GetTask().GetSlot())
			text += map[clusterpb.TaskState]string{lifecycle.Ready: "~", lifecycle.Pending: "^"}[k.CreateTask.GetTask().GetDesired()]
			out = append(out, text)
		case *raftpb.Change_SetDesired:
			sign := map[clusterpb.TaskState]string{lifecycle.Shutdown: "-", lifecycle.Remove: "x"}[k.SetDesired.GetDesired()]
			out = append(out, sign+strings.TrimPrefix(k.SetDesired.GetId(), "t"))
		default:
			out = append(out, fmt.Sprint(c))
		}
	}
	return strings.Join(out, " ")
}

func TestRemovedService(t *testing.T) {
	w := world(t)
	w.Put("web", func(*clusterpb.ServiceSpec) {})
	addTasks(t, w, "1:running@a 2:failed@b 3:new")
	w.Apply(state.DeleteService("web"))
	c := Controller(w.ID)
	if !slices.Contains(c.Keys(w.State), "web") {
		t.Fatal("a removed service with tasks is not a key")
	}
	changes, _ := c.Plan(w.State, "web", w.Now)
	if got, want := format(changes), "x1 x2 x3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A rollout and a canary do not spread by way of failures.
func TestReplacementKeepsItsSpecUntilTheRolloutTakesIt(t *testing.T) {
	tests := map[string]struct {
		status *clusterpb.UpdateStatus
		canary uint32
		old    bool
	}{
		"updating":                {&clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_UPDATING}, 0, true},
		"updating this slot":      {&clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_UPDATING, Progress: []*clusterpb.SlotUpdate{{Slot: 1}}}, 0, false},
		"rolling back":            {&clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED}, 0, false},
		"paused":                  {&clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_PAUSED}, 0, true},
		"paused in this slot":     {&clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_PAUSED, Progress: []*clusterpb.SlotUpdate{{Slot: 1}}}, 0, false},
		"starting canaries":       {&clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_UPDATING}, 1, true},
		"canaries wait":           {&clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_CANARY}, 1, true},
		"canaries were promoted":  {&clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_UPDATING, Promoted: true}, 1, true},
		"the update is completed": {&clusterpb.UpdateStatus{State: clusterpb.UpdateStatus_STATE_COMPLETED}, 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := world(t)
			w.Put("web", func(s *clusterpb.ServiceSpec) { s.Update = &clusterpb.UpdateConfig{Canary: tt.canary} })
			c := Controller(w.ID)
			w.Turn(c)
			first := w.Service("web").GetSpecVersion()
			w.Put("web", func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "v2" })
			svc := w.Service("web")
			w.Apply(state.SetUpdateStatus(svc, tt.status))
			old := slices.Collect(w.State.TasksOf("web"))[0]
			w.Apply(state.AssignTask(old.GetId(), "a", nil))
			w.Observe(old, lifecycle.Failed)
			w.Turn(c)
			for task := range w.State.TasksOf("web") {
				if task.GetId() == old.GetId() {
					continue
				}
				if kept := task.GetSpecVersion() == first; kept != tt.old {
					t.Errorf("the replacement has image %s, spec %d", pod.Main(task.GetSpec()).GetImage(), task.GetSpecVersion())
				}
			}
		})
	}
}

func TestWaitingReplacementSaysWhy(t *testing.T) {
	w := world(t)
	w.Put("web", func(s *clusterpb.ServiceSpec) {
		s.Task.Restart = &clusterpb.RestartPolicy{Delay: durationpb.New(10 * time.Second), MaxAttempts: 3}
	})
	c := Controller(w.ID)
	var newest *clusterpb.Task
	for range 4 {
		w.Turn(c)
		for task := range w.State.TasksOf("web") {
			if lifecycle.Wanted(task) {
				newest = task
			}
		}
		w.Observe(newest, lifecycle.Failed)
	}
	if got, want := newest.GetDesiredReason(), "exit status 1 (restarts after 40s, 3 failures in a row)"; got != want {
		t.Errorf("reason %q, want %q", got, want)
	}
	if newest.GetStatus().GetErr() != newest.GetDesiredReason() || newest.GetDesired() != lifecycle.Ready {
		t.Errorf("status %q, desired %s", newest.GetStatus().GetErr(), newest.GetDesired())
	}
	w.Turn(c)
	last, _ := w.State.Task(newest.GetId())
	if got, want := last.GetDesiredReason(), "exit status 1 (not restarted: used up all 3 restart attempts)"; got != want {
		t.Errorf("reason %q, want %q", got, want)
	}
}
