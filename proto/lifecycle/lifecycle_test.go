package lifecycle

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

func TestAdvances(t *testing.T) {
	tests := map[string]struct {
		current, next clusterpb.TaskState
		want          bool
	}{
		"forward":                     {Preparing, Running, true},
		"same state, new details":     {Running, Running, true},
		"backward":                    {Running, Starting, false},
		"a stopped task stays":        {Failed, Running, false},
		"even for a later end":        {Shutdown, Failed, false},
		"remove is never observed":    {Running, Remove, false},
		"an empty report is nothing":  {New, clusterpb.TaskState_TASK_STATE_UNSPECIFIED, false},
		"rejected before it was ever": {Assigned, Rejected, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Advances(tt.current, tt.next); got != tt.want {
				t.Errorf("Advances(%s, %s) = %v, want %v", Name(tt.current), Name(tt.next), got, tt.want)
			}
		})
	}
}

func TestNamesParse(t *testing.T) {
	for v := range clusterpb.TaskState_name {
		s := clusterpb.TaskState(v)
		if s == clusterpb.TaskState_TASK_STATE_UNSPECIFIED {
			continue
		}
		if got, ok := Parse(Name(s)); !ok || got != s {
			t.Errorf("Parse(%q) = %v, %v, want %v", Name(s), got, ok, s)
		}
	}
	if _, ok := Parse("walking"); ok {
		t.Error("a state that there is not parsed")
	}
}

func TestWantedAndServing(t *testing.T) {
	tests := map[string]struct {
		desired, observed clusterpb.TaskState
		wanted, serving   bool
	}{
		"running":         {Running, Running, true, true},
		"starting":        {Running, Starting, true, false},
		"held":            {Ready, Ready, true, false},
		"draining":        {Shutdown, Running, false, false},
		"failed":          {Running, Failed, false, false},
		"held yet run on": {Ready, Running, true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			task := &clusterpb.Task{Desired: tt.desired, Status: &clusterpb.TaskStatus{State: tt.observed}}
			if Wanted(task) != tt.wanted || Serving(task) != tt.serving {
				t.Errorf("wanted %v serving %v, want %v %v", Wanted(task), Serving(task), tt.wanted, tt.serving)
			}
		})
	}
}

// TestReportable: what a node may say of its tasks. The others, and what a later
// version may know, would be replaced without a back-off.
func TestReportable(t *testing.T) {
	for number := range clusterpb.TaskState_name {
		s := clusterpb.TaskState(number)
		want := s >= Assigned && s <= Rejected
		if got := Reportable(s); got != want {
			t.Errorf("%s: %t", Name(s), got)
		}
	}
	for _, unknown := range []clusterpb.TaskState{-1, 85, 135, 999} {
		if Reportable(unknown) {
			t.Errorf("%d, which is no state", unknown)
		}
	}
}

// TestEndedByItself: what was stopped by a manager or lost with its node is no
// matter for the restart policy.
func TestEndedByItself(t *testing.T) {
	for number := range clusterpb.TaskState_name {
		s := clusterpb.TaskState(number)
		failure := slices.Contains([]clusterpb.TaskState{Failed, Rejected}, s)
		if byItself := failure || s == Complete; IsFailure(s) != failure || EndedByItself(s) != byItself {
			t.Errorf("%s: a failure %t, ended by itself %t", Name(s), IsFailure(s), EndedByItself(s))
		}
	}
}

// TestNewestFirst: of tasks of one moment any, but always the same.
func TestNewestFirst(t *testing.T) {
	made := func(id string, second int64) *clusterpb.Task {
		return &clusterpb.Task{Id: id, CreatedAt: &timestamppb.Timestamp{Seconds: second}}
	}
	tasks := []*clusterpb.Task{made("a", 1), made("d", 2), made("b", 2), made("c", 3)}
	slices.SortFunc(tasks, NewestFirst)
	var order string
	for _, task := range tasks {
		order += task.GetId()
	}
	if order != "cbda" {
		t.Errorf("in the order %s, want cbda", order)
	}
}
