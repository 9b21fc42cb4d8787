package update

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/control/controltest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// TestPlan writes tasks, the oldest of a slot first, as SLOT:STATE, with a
// leading o for those of the old spec and c for canaries, ! when they are asked to stop, and ~
// when they are held. Progress is SLOT[=done|=failed], begun a minute ago.
//
// Changes are +SLOT (a task that may run), +SLOT~ (a held one), +SLOTc (a
// canary), -TASK (asked to stop); then the state and the progress that result.
func TestPlan(t *testing.T) {
	two, auto := uint32(2), clusterpb.UpdateConfig_PROMOTE_AUTO
	all := uint32(0)
	tests := map[string]struct {
		cfg      *clusterpb.UpdateConfig
		state    clusterpb.UpdateStatus_State
		promoted bool
		slots    uint32 // to change when it began; more than there are canaries by default
		never    bool   // restart
		progress string
		have     string
		want     string
	}{
		"the first slot":          {have: "o1:running o2:running", want: "-1 +1~; updating 1"},
		"the next waits":          {progress: "1", have: "o1:running! 1:ready~ o2:running", want: "; updating 1"},
		"two at a time":           {cfg: &clusterpb.UpdateConfig{Parallelism: &two}, have: "o1:running o2:running o3:running", want: "-1 +1~ -2 +2~; updating 1 2"},
		"all at a time":           {cfg: &clusterpb.UpdateConfig{Parallelism: &all}, have: "o1:running o2:running o3:running", want: "-1 +1~ -2 +2~ -3 +3~; updating 1 2 3"},
		"what is down goes first": {have: "o1:running o2:preparing", want: "-2 +2~; updating 2"},
		"nothing to do":           {have: "1:running 2:running", want: "; completed"},
		"the last one is done":    {progress: "1=done 2=done", have: "1:running 2:running", want: "; completed 1=done 2=done"},
		"start first":             {cfg: &clusterpb.UpdateConfig{Order: clusterpb.UpdateConfig_ORDER_START_FIRST}, have: "o1:running", want: "+1; updating 1"},
		"the old one stays while the new one is on trial": {progress: "1", have: "o1:running 1:running", want: "; updating 1"},
		"then the old one goes":                           {cfg: &clusterpb.UpdateConfig{Monitor: durationpb.New(0)}, progress: "1", have: "o1:running 1:running", want: "-1; updating 1=done"},
		"a failure":                                       {progress: "1", have: "o1:shutdown! 1:failed o2:running", want: "; paused 1=failed"},
		"a failure of a restart":                          {progress: "1", have: "o1:shutdown! 1:orphaned 1:failed o2:running", want: "; paused 1=failed"},
		"a lost one is none":                              {progress: "1", have: "o1:shutdown! 1:orphaned 1:starting o2:running", want: "; updating 1"},
		"continue": {
			cfg:      &clusterpb.UpdateConfig{FailureAction: clusterpb.UpdateConfig_FAILURE_ACTION_CONTINUE},
			progress: "1", have: "o1:shutdown! 1:failed o2:running", want: "-3 +2~; updating 1=failed 2",
		},
		"start first, tried again": {
			cfg:      &clusterpb.UpdateConfig{FailureAction: clusterpb.UpdateConfig_FAILURE_ACTION_CONTINUE},
			progress: "1=failed", have: "o1:running 1:failed", want: "+1~; completed 1=failed",
		},
		"paused":                     {state: paused, have: "o1:running o2:running", want: "; paused"},
		"paused, on trial":           {state: paused, progress: "1", have: "o1:running 1:running o2:running", want: "; paused 1"},
		"paused, begun slots finish": {cfg: &clusterpb.UpdateConfig{Monitor: durationpb.New(0)}, state: paused, progress: "1", have: "o1:running 1:running o2:running", want: "-1; paused 1"},
		"completed":                  {state: completed, progress: "1=done", have: "1:running", want: "; completed 1=done"},
		"rollback that fails":        {state: rollbackStarted, progress: "1", have: "o1:shutdown! 1:failed o2:running", want: "; rollback_paused 1=failed"},
		"rollback done":              {state: rollbackStarted, progress: "1=done", have: "1:running", want: "; rollback_completed 1=done"},
		"canaries":                   {cfg: &clusterpb.UpdateConfig{Canary: 2}, have: "o1:running o2:running o3:running", want: "+1c +2c; updating 1 2"},
		"canaries run": {
			cfg: &clusterpb.UpdateConfig{Canary: 1}, progress: "1=done", have: "o1:running c1:running o2:running",
			want: "; canary 1=done",
		},
		"promoted": {
			cfg: &clusterpb.UpdateConfig{Canary: 1}, state: waitingForApproval, promoted: true, progress: "1=done",
			have: "o1:running c1:running o2:running", want: "-3 +2~; updating 1=done 2",
		},
		"blue-green": {
			cfg: &clusterpb.UpdateConfig{Canary: 2}, slots: 2, have: "o1:running o2:running",
			want: "+1c +2c; updating 1 2",
		},
		"blue-green, scaled meanwhile": {
			cfg: &clusterpb.UpdateConfig{Canary: 2}, slots: 2, progress: "1=done 2=done", state: waitingForApproval,
			have: "o1:running c1:running o2:running c2:running o3:running", want: "+3c; updating 1=done 2=done 3",
		},
		"a canary is lost": {
			cfg: &clusterpb.UpdateConfig{Canary: 2}, progress: "1=done 2=done", state: waitingForApproval,
			have: "o1:running c1:running o2:running c2:orphaned", want: "+2c; updating 1=done 2",
		},
		"not before all canaries serve": {
			cfg: &clusterpb.UpdateConfig{Canary: 2, Promote: auto}, progress: "1=done 2=done",
			have: "o1:running c1:running o2:running c2:starting", want: "; updating 1=done 2",
		},
		"canaries promote themselves": { // the old ones go by the same command
			cfg: &clusterpb.UpdateConfig{Canary: 2, Promote: auto}, progress: "1=done 2=done",
			have: "o1:running c1:running o2:running c2:running", want: "-1 -3; updating 1=done 2=done",
		},
		"told to while they wait": {
			cfg: &clusterpb.UpdateConfig{Canary: 1, Promote: auto}, progress: "1=done", state: waitingForApproval,
			have: "o1:running c1:running o2:running", want: "-1 -3 +2~; updating 1=done 2",
		},
		"no canaries any more": {
			progress: "1=done", state: waitingForApproval,
			have: "o1:running c1:running o2:running", want: "-1 -3 +2~; updating 1=done 2",
		},
		"slots that went away":      {progress: "1=done 7", have: "1:running", want: "; completed 1=done"},
		"given up, out of date":     {never: true, have: "o1:failed!", want: "+1; updating 1"},
		"a failure of the old spec": {have: "o1:failed 2:running", want: "; updating"}, // the replicated orchestrator restarts it
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := controltest.New(t)
			w.AddNode("a")
			w.Put("web", func(s *clusterpb.ServiceSpec) {
				s.Mode = nil // as many slots as there are
				if tt.never {
					s.Task.Restart = &clusterpb.RestartPolicy{Condition: clusterpb.RestartPolicy_CONDITION_NONE}
				}
			})
			old := w.Service("web").GetSpecVersion()
			w.Put("web", func(s *clusterpb.ServiceSpec) {
				pod.Main(s.Task).Image, s.Update = "v2", tt.cfg
				if s.Update == nil {
					s.Update = &clusterpb.UpdateConfig{}
				}
				if s.Update.Monitor == nil {
					s.Update.Monitor = durationpb.New(time.Hour)
				}
			})
			svc := w.Service("web")
			addTasks(t, w, svc, old, tt.have)
			status := &clusterpb.UpdateStatus{State: tt.state, Slots: cmp.Or(tt.slots, 9), Promoted: tt.promoted, Progress: parseProgress(t, w.Now, tt.progress)}
			if status.GetState() == 0 {
				status.State = updating
			}
			w.Apply(state.SetUpdateStatus(svc, status))
			changes, _ := Controller(w.ID, time.Time{}).Plan(w.State, "web", w.Now)
			w.Apply(changes...)
			if got := strings.TrimSpace(format(changes)) + "; " + formatStatus(w.Service("web").GetUpdate()); got != tt.want {
				t.Errorf("plan(%q, %q) = %q, want %q", tt.progress, tt.have, got, tt.want)
			}
			// What a plan leaves behind needs no further plan, but for the end
			// of a rollout, which waits until its last changes are there.
			for range 3 {
				changes, _ = Controller(w.ID, time.Time{}).Plan(w.State, "web", w.Now)
				if len(changes) == 0 {
					return
				}
				if text := strings.TrimSpace(format(changes)); text != "" {
					t.Errorf("planning again gave %q, want nothing", text)
				}
				w.Apply(changes...)
			}
			t.Errorf("planning again and again gave changes")
		})
	}
}

func addTasks(t *testing.T, w *controltest.World, svc *clusterpb.Service, old uint64, text string) {
	t.Helper()
	for i, f := range strings.Fields(text) {
		task := &clusterpb.Task{
			Id: fmt.Sprintf("t%d", i+1), ServiceId: "web", NodeId: "a", SpecVersion: svc.GetSpecVersion(), Spec: svc.GetSpec().GetTask(),
			Desired: lifecycle.Running, CreatedAt: timestamppb.New(w.Now.Add(time.Duration(i-30) * time.Second)), Attempt: 1,
		}
		f, outdated := strings.CutPrefix(f, "o")
		if outdated {
			task.SpecVersion, task.Spec = old, proto.CloneOf(svc.GetSpec().GetTask())
			pod.Main(task.Spec).Image = "v1"
		}
		f, task.Canary = strings.CutPrefix(f, "c")
		if rest, ok := strings.CutSuffix(f, "!"); ok {
			f, task.Desired = rest, lifecycle.Shutdown
		}
		if rest, ok := strings.CutSuffix(f, "~"); ok {
			f, task.Desired, task.Hold = rest, lifecycle.Ready, true
		}
		number, name, _ := strings.Cut(f, ":")
		observed, ok := lifecycle.Parse(name)
		if _, err := fmt.Sscan(number, &task.Slot); err != nil || !ok {
			t.Fatalf("task %q: %v", f, err)
		}
		task.Status = &clusterpb.TaskStatus{State: observed, AppliedAt: timestamppb.New(w.Now)}
		w.Apply(state.CreateTask(task))
	}
}

func parseProgress(t *testing.T, now time.Time, text string) (out []*clusterpb.SlotUpdate) {
	t.Helper()
	for f := range strings.FieldsSeq(text) {
		number, how, _ := strings.Cut(f, "=")
		e := &clusterpb.SlotUpdate{StartedAt: timestamppb.New(now.Add(-time.Minute))}
		if _, err := fmt.Sscan(number, &e.Slot); err != nil {
			t.Fatalf("progress %q: %v", f, err)
		}
		if how != "" {
			e.DoneAt, e.Failed = timestamppb.New(now.Add(-30*time.Second)), how == "failed"
		}
		out = append(out, e)
	}
	return out
}

func format(changes []*raftpb.Change) string {
	var out []string
	for _, c := range changes {
		switch k := c.GetKind().(type) {
		case *raftpb.Change_CreateTask:
			task := k.CreateTask.GetTask()
			text := fmt.Sprint("+", task.GetSlot())
			if task.GetDesired() == lifecycle.Ready {
				text += "~"
			}
			if task.GetCanary() {
				text += "c"
			}
			out = append(out, text)
		case *raftpb.Change_SetDesired:
			out = append(out, "-"+strings.TrimPrefix(k.SetDesired.GetId(), "t"))
		case *raftpb.Change_SetUpdateStatus: // compared as a whole
		default:
			out = append(out, fmt.Sprint(c))
		}
	}
	return strings.Join(out, " ")
}

func formatStatus(u *clusterpb.UpdateStatus) string {
	out := []string{strings.ToLower(strings.TrimPrefix(u.GetState().String(), "STATE_"))}
	for _, e := range u.GetProgress() {
		text := fmt.Sprint(e.GetSlot())
		switch {
		case e.GetFailed():
			text += "=failed"
		case e.GetDoneAt() != nil:
			text += "=done"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}
