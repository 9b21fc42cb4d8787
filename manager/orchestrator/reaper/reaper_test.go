package reaper

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/control/controltest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// addTasks reads tasks, the oldest first, as SLOT:STATE[@NODE], with ! when
// they are to stop and x when they are to be removed.
func addTasks(t *testing.T, w *controltest.World, text string) {
	t.Helper()
	for i, f := range strings.Fields(text) {
		desired := lifecycle.Running
		if s, ok := strings.CutSuffix(f, "!"); ok {
			f, desired = s, lifecycle.Shutdown
		}
		if s, ok := strings.CutSuffix(f, "x"); ok {
			f, desired = s, lifecycle.Remove
		}
		f, node, _ := strings.Cut(f, "@")
		number, name, _ := strings.Cut(f, ":")
		observed, ok := lifecycle.Parse(name)
		if !ok {
			t.Fatalf("task %q: no state %q", f, name)
		}
		task := &clusterpb.Task{
			Id: fmt.Sprintf("t%d", i+1), ServiceId: "web", NodeId: node, Desired: desired,
			CreatedAt: timestamppb.New(w.Now.Add(time.Duration(i) * time.Second)),
			Status:    &clusterpb.TaskStatus{State: observed},
		}
		if _, err := fmt.Sscan(number, &task.Slot); err != nil {
			t.Fatalf("task %q: %v", f, err)
		}
		w.Apply(state.CreateTask(task))
	}
}

// left tells which tasks there are, with their states.
func left(w *controltest.World) string {
	var out []string
	for t := range w.State.Tasks() {
		out = append(out, t.GetId()+":"+lifecycle.Name(t.GetStatus().GetState()))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestReap(t *testing.T) {
	three, one, all := int32(3), int32(1), int32(-1)
	tests := map[string]struct {
		limit    *int32
		attempts uint32
		tasks    string
		want     string
	}{
		"five by default":              {nil, 0, "1:failed 1:failed 1:failed 1:failed 1:failed 1:running@a", "t2:failed t3:failed t4:failed t5:failed t6:running"},
		"the cluster's limit":          {&three, 0, "1:failed 1:failed 1:failed 1:running@a", "t2:failed t3:failed t4:running"},
		"for each slot":                {&one, 0, "1:failed 2:failed 1:running@a 2:running@a", "t3:running t4:running"},
		"all of them":                  {&all, 0, "1:failed 1:failed 1:failed 1:failed 1:failed 1:failed", "t1:failed t2:failed t3:failed t4:failed t5:failed t6:failed"},
		"whatever attempts count":      {&one, 2, "1:failed 1:failed 1:failed 1:running@a", "t4:running"},
		"the newest stays":             {&one, 0, "1:failed 1:complete!", "t2:complete"},
		"never one that has not ended": {&one, 0, "1:running@a! 1:running@a", "t1:running t2:running"},

		"to be removed, running":          {nil, 0, "1:running@ax", "t1:running"},
		"to be removed, ended":            {nil, 0, "1:shutdown@ax", ""},
		"to be removed, never placed":     {nil, 0, "1:pendingx", ""},
		"to be removed, its node is down": {nil, 0, "1:running@downx", ""},
		"to be removed, its node is gone": {nil, 0, "1:running@gonex", ""},

		"to stop, never placed":     {nil, 0, "1:pending!", "t1:shutdown"},
		"to run, not placed yet":    {nil, 0, "1:pending", "t1:pending"},
		"to stop, its node is down": {nil, 0, "1:running@down!", "t1:running"},
		"its node is gone":          {nil, 0, "1:running@gone", "t1:orphaned"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := controltest.New(t)
			w.AddNode("a")
			w.AddNode("down", func(n *clusterpb.Node) { n.Status.State = clusterpb.NodeStatus_STATE_DOWN })
			w.Apply(state.CreateCluster(&raftpb.CreateCluster{Id: "c", Spec: &clusterpb.ClusterSpec{TaskHistoryLimit: tt.limit}}))
			w.Put("web", func(s *clusterpb.ServiceSpec) {
				s.Task.Restart = &clusterpb.RestartPolicy{MaxAttempts: tt.attempts}
			})
			addTasks(t, w, tt.tasks)
			w.Turn(Controller())
			if got := left(w); got != tt.want {
				t.Errorf("left %q, want %q", got, tt.want)
			}
			if w.Turn(Controller()) {
				t.Errorf("a second look changed something: %q", left(w))
			}
		})
	}
}

func TestNodeDownForADay(t *testing.T) {
	w := controltest.New(t)
	w.AddNode("a")
	addTasks(t, w, "1:running@a!")
	w.SetNode("a", clusterpb.NodeStatus_STATE_DOWN)
	down := w.Now
	w.Turn(Controller())
	due, ok := w.Due()
	if want := down.Add(orphanAfter); !ok || !due.Equal(want) {
		t.Fatalf("due at %v, %v, want %v", due, ok, want)
	}
	w.Now = due
	w.Turn(Controller())
	if got := left(w); got != "t1:orphaned" {
		t.Errorf("left %q, want it orphaned", got)
	}
}
