package restart

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/manager/orchestrator/slot"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// parse reads the tasks of a slot, the oldest first, as STATE/ATTEMPT/UP: how
// many seconds the task ran, "-" if it never did. The tasks follow each other
// without a gap, created a second before they run. A trailing * marks another spec.
func parse(t *testing.T, text string) slot.Slot {
	t.Helper()
	s := slot.Slot{Number: 1}
	at := epoch
	for i, f := range strings.Fields(text) {
		f, other := strings.CutSuffix(f, "*")
		parts := strings.Split(f, "/")
		state, ok := lifecycle.Parse(parts[0])
		if !ok || len(parts) != 3 {
			t.Fatalf("task %q", f)
		}
		task := &clusterpb.Task{
			Id: fmt.Sprintf("t%d", i), Slot: 1, SpecVersion: 7, CreatedAt: timestamppb.New(at), Desired: lifecycle.Running,
			Status: &clusterpb.TaskStatus{State: state, Containers: []*clusterpb.ContainerStatus{{ExitCode: 3}}},
		}
		if other {
			task.SpecVersion = 6
		}
		if _, err := fmt.Sscan(parts[1], &task.Attempt); err != nil {
			t.Fatalf("task %q: %v", f, err)
		}
		at = at.Add(time.Second)
		if parts[2] != "-" {
			var up int
			if _, err := fmt.Sscan(parts[2], &up); err != nil {
				t.Fatalf("task %q: %v", f, err)
			}
			task.RunningAt = timestamppb.New(at)
			at = at.Add(time.Duration(up) * time.Second)
		}
		task.Status.AppliedAt = timestamppb.New(at)
		s.Tasks = append([]*clusterpb.Task{task}, s.Tasks...)
	}
	return s
}

// count fills in what each task of a slot had inherited when it was made.
func count(next slot.Template, s slot.Slot) {
	for i := len(s.Tasks) - 2; i >= 0; i-- {
		made := next
		made.SpecVersion = s.Tasks[i].GetSpecVersion()
		s.Tasks[i].Restarted = made.Restarted(s.Tasks[i+1], epoch)
		if s.Tasks[i].GetAttempt() > 0 {
			s.Tasks[i].Restarted++
		}
	}
}

func TestDecide(t *testing.T) {
	const (
		none      = clusterpb.RestartPolicy_CONDITION_NONE
		onFailure = clusterpb.RestartPolicy_CONDITION_ON_FAILURE
		always    = clusterpb.RestartPolicy_CONDITION_ANY
	)
	seconds := func(n float64) *durationpb.Duration { return durationpb.New(time.Duration(n * float64(time.Second))) }
	tests := map[string]struct {
		policy *clusterpb.RestartPolicy
		slot   string
		// want is "wait/attempt", or "no".
		want string
	}{
		"defaults":                    {nil, "failed/0/1", "5s/1"},
		"an end counts too":           {nil, "complete/0/1", "5s/1"},
		"doubles":                     {nil, "failed/1/1", "10s/2"},
		"and again":                   {nil, "rejected/2/-", "20s/3"},
		"up to five minutes":          {nil, "failed/6/1", "5m0s/7"},
		"and no further":              {nil, "failed/4000000000/1", "5m0s/4000000001"},
		"up 10 s is not long":         {nil, "failed/1/10", "10s/2"},
		"up longer starts anew":       {nil, "failed/1/11", "5s/1"},
		"up less than it waited":      {nil, "failed/3/20", "40s/4"},
		"up longer than it waited":    {nil, "failed/3/21", "5s/1"},
		"another spec starts anew":    {nil, "failed/9/1*", "5s/1"},
		"own delay":                   {&clusterpb.RestartPolicy{Delay: seconds(1)}, "failed/2/1", "4s/3"},
		"own maximum":                 {&clusterpb.RestartPolicy{Delay: seconds(1), MaxDelay: seconds(3)}, "failed/2/1", "3s/3"},
		"fixed delay":                 {&clusterpb.RestartPolicy{Delay: seconds(2), MaxDelay: seconds(2)}, "failed/9/1", "2s/10"},
		"a maximum below the delay":   {&clusterpb.RestartPolicy{Delay: seconds(9), MaxDelay: seconds(2)}, "failed/3/1", "9s/4"},
		"no delay":                    {&clusterpb.RestartPolicy{Delay: seconds(0)}, "failed/0/1", "0s/1"},
		"no delay, but no hot loop":   {&clusterpb.RestartPolicy{Delay: seconds(0)}, "failed/1/1", "200ms/2"},
		"condition none":              {&clusterpb.RestartPolicy{Condition: none}, "failed/0/1", "no"},
		"on failure, completed":       {&clusterpb.RestartPolicy{Condition: onFailure}, "complete/0/1", "no"},
		"on failure, failed":          {&clusterpb.RestartPolicy{Condition: onFailure}, "failed/0/1", "5s/1"},
		"on failure, rejected":        {&clusterpb.RestartPolicy{Condition: onFailure}, "rejected/0/-", "5s/1"},
		"any, completed":              {&clusterpb.RestartPolicy{Condition: always}, "complete/0/1", "5s/1"},
		"one attempt left":            {&clusterpb.RestartPolicy{MaxAttempts: 2}, "failed/0/1 failed/1/1", "10s/2"},
		"no attempt left":             {&clusterpb.RestartPolicy{MaxAttempts: 2}, "failed/0/1 failed/1/1 failed/2/1", "no"},
		"the spec before had its own": {&clusterpb.RestartPolicy{MaxAttempts: 1}, "failed/0/1* failed/1/1* failed/0/1", "5s/1"},
		"a move is not an attempt":    {&clusterpb.RestartPolicy{MaxAttempts: 1}, "failed/0/1 orphaned/0/1 failed/0/1", "5s/1"},
		"attempts long ago":           {&clusterpb.RestartPolicy{MaxAttempts: 1, Window: seconds(60)}, "failed/0/1 failed/1/100", "5s/1"},
		"a window shorter than the delays": {
			&clusterpb.RestartPolicy{MaxAttempts: 3, Window: seconds(10), Delay: seconds(20)}, "failed/0/1 failed/1/1 failed/2/1 failed/3/1", "no",
		},
		"one that stayed up for the window": {
			&clusterpb.RestartPolicy{MaxAttempts: 2, Window: seconds(10), Delay: seconds(1)}, "failed/0/1 failed/1/1 failed/2/11 failed/1/1", "2s/2",
		},
		"attempts within the window": {&clusterpb.RestartPolicy{MaxAttempts: 1, Window: seconds(600)}, "failed/0/1 failed/1/100", "no"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := parse(t, tt.slot)
			next := slot.Template{Spec: &clusterpb.TaskSpec{Restart: tt.policy}, SpecVersion: 7}
			count(next, s)
			d := Decide(next, s)
			got := "no"
			if d.Again {
				got = fmt.Sprintf("%s/%d", d.After.Sub(s.Newest().GetStatus().GetAppliedAt().AsTime()), d.Attempt)
			}
			if got != tt.want {
				t.Errorf("decided %s (%s), want %s", got, d.Reason, tt.want)
			}
			if d.Reason == "" {
				t.Error("no reason given")
			}
		})
	}
}
