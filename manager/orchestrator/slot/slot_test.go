package slot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// parse reads tasks, the oldest first, as SLOT:STATE[@NODE], named t1, t2, …:
// with ! when they are to stop, x when they are to be removed, ~ when they are
// only to be prepared, and a leading c when they are canaries.
func parse(t *testing.T, text string) (tasks []*clusterpb.Task) {
	t.Helper()
	wishes := map[byte]clusterpb.TaskState{'!': lifecycle.Shutdown, 'x': lifecycle.Remove, '~': lifecycle.Ready}
	for i, f := range strings.Fields(text) {
		task := &clusterpb.Task{
			Id: fmt.Sprintf("t%d", i+1), Desired: lifecycle.Running,
			CreatedAt: timestamppb.New(epoch.Add(time.Duration(i) * time.Second)),
		}
		f, task.Canary = strings.CutPrefix(f, "c")
		if wish, ok := wishes[f[len(f)-1]]; ok {
			f, task.Desired = f[:len(f)-1], wish
		}
		f, task.NodeId, _ = strings.Cut(f, "@")
		number, name, _ := strings.Cut(f, ":")
		observed, ok := lifecycle.Parse(name)
		if _, err := fmt.Sscan(number, &task.Slot); err != nil || !ok {
			t.Fatalf("task %q: %v", f, err)
		}
		task.Status = &clusterpb.TaskStatus{State: observed}
		tasks = append(tasks, task)
	}
	return tasks
}

func group(t *testing.T, text string) []Slot {
	t.Helper()
	return Group(slices.Values(parse(t, text)))
}

func ids(tasks []*clusterpb.Task) string {
	var list []string
	for _, t := range tasks {
		list = append(list, t.GetId())
	}
	return strings.Join(list, " ")
}

func numbers(slots []Slot) string {
	var list []string
	for _, s := range slots {
		list = append(list, fmt.Sprint(s.Number))
	}
	return strings.Join(list, " ")
}

func TestGroupBySlotNewestFirst(t *testing.T) {
	tests := map[string]struct{ tasks, want string }{
		"none":                                {"", ""},
		"slots by number":                     {"3:running 1:running 10:running", "1=t2 3=t1 10=t3"},
		"the newest of a slot first":          {"1:failed 1:shutdown 1:running", "1=t3 t2 t1"},
		"ended tasks keep their slot":         {"1:complete 2:running", "1=t1 2=t2"},
		"so does one that is to stop":         {"1:running!", "1=t1"},
		"one to be removed has left its slot": {"1:failedx 1:running 2:failedx", "1=t2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range group(t, tt.tasks) {
				got = append(got, fmt.Sprintf("%d=%s", s.Number, ids(s.Tasks)))
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("grouped as %q, want %q", got, tt.want)
			}
		})
	}
}

// Leaders see the tasks of a slot in any order, and must agree on the newest.
func TestNewestDoesNotDependOnTheOrderRead(t *testing.T) {
	tasks := parse(t, "1:failed 1:running 1:new")
	tasks[2].CreatedAt = tasks[1].GetCreatedAt() // a tie, as between clusters' clocks: the smaller id is the newer
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		var read []*clusterpb.Task
		for _, i := range order {
			read = append(read, tasks[i])
		}
		if s := Group(slices.Values(read))[0]; ids(s.Tasks) != "t2 t3 t1" || s.Newest().GetId() != "t2" {
			t.Errorf("read as %v: %s, newest %s", order, ids(s.Tasks), s.Newest().GetId())
		}
	}
}

func TestTasksOfASlot(t *testing.T) {
	tests := map[string]struct {
		tasks           string
		wanted, serving string
		own             string // without canaries
	}{
		"one runs":                          {"1:running", "t1", "t1", "t1"},
		"one runs that is to stop":          {"1:running!", "", "", "t1"},
		"one starts":                        {"1:starting", "t1", "", "t1"},
		"one is held back":                  {"1:running! 1:ready~", "t2", "", "t2 t1"},
		"one runs that was only to prepare": {"1:running~", "t1", "", "t1"},
		"all ended":                         {"1:failed 1:rejected 1:complete 1:orphaned 1:shutdown", "", "", "t5 t4 t3 t2 t1"},
		"a successor beside the old":        {"1:running 1:starting", "t2 t1", "t1", "t2 t1"},
		"a canary beside the old":           {"1:running c1:running", "t2 t1", "t2", "t1"},
		"a canary alone":                    {"c1:running", "t1", "t1", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := group(t, tt.tasks)[0]
			if got := ids(s.Wanted()); got != tt.wanted {
				t.Errorf("wanted are %q, want %q", got, tt.wanted)
			}
			if got := s.Serving().GetId(); got != tt.serving {
				t.Errorf("serving is %q, want %q", got, tt.serving)
			}
			if own := s.WithoutCanaries(); own.Number != 1 || ids(own.Tasks) != tt.own {
				t.Errorf("without canaries slot %d has %q, want %q", own.Number, ids(own.Tasks), tt.own)
			}
		})
	}
}

func TestFind(t *testing.T) {
	s := group(t, "1:failed 1:running")[0]
	for id, want := range map[string]clusterpb.TaskState{"t1": lifecycle.Failed, "t2": lifecycle.Running} {
		if got := s.Find(id).GetStatus().GetState(); got != want {
			t.Errorf("found %s as %s, want %s", id, got, want)
		}
	}
	if got := s.Find("t3"); got != nil {
		t.Errorf("found %v", got)
	}
}

func TestCause(t *testing.T) {
	tests := map[string]struct {
		status *clusterpb.TaskStatus
		want   string
	}{
		"the error":                 {&clusterpb.TaskStatus{State: lifecycle.Rejected, Err: "no such image"}, "no such image"},
		"out of memory":             {&clusterpb.TaskStatus{State: lifecycle.Failed, Containers: []*clusterpb.ContainerStatus{{OomKilled: true, ExitCode: 137}}}, "out of memory"},
		"exit status":               {&clusterpb.TaskStatus{State: lifecycle.Complete, Containers: []*clusterpb.ContainerStatus{{}}}, "exit status 0"},
		"not what another ended of": {&clusterpb.TaskStatus{State: lifecycle.Orphaned, Err: "exit status 1 (restarts after 5s)"}, "orphaned"},
		"nothing known":             {&clusterpb.TaskStatus{State: lifecycle.Failed}, "failed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Cause(&clusterpb.Task{Status: tt.status, DesiredReason: "exit status 1 (restarts after 5s)"}); got != tt.want {
				t.Errorf("cause %q, want %q", got, tt.want)
			}
		})
	}
}
