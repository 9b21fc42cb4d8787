package task

import (
	"errors"
	"fmt"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/worker/executor"
)

func (a action) String() string {
	return [...]string{"rest", "note", "prepare", "start", "watch", "stop", "evict", "clean"}[a]
}

var (
	exit0    = exited{}
	exit1    = exited{executor.Exit{Code: 1}}
	exitOOM  = exited{executor.Exit{Code: 137, OOMKilled: true}}
	errOther = errors.New("no such image")
)

func TestStep(t *testing.T) {
	type state = clusterpb.TaskState
	tests := map[string]struct {
		desired, observed state
		cause             error
		want              string
	}{
		"new to the worker":           {lifecycle.Running, lifecycle.Assigned, nil, "note accepted"},
		"accepted, to be held":        {lifecycle.Ready, lifecycle.Accepted, nil, "note preparing"},
		"accepted, not to be readied": {lifecycle.Accepted, lifecycle.Accepted, nil, "rest accepted"},
		"preparing":                   {lifecycle.Ready, lifecycle.Preparing, nil, "prepare ready"},
		"held at ready":               {lifecycle.Ready, lifecycle.Ready, nil, "rest ready"},
		"let go from ready":           {lifecycle.Running, lifecycle.Ready, nil, "start starting"},
		"starting":                    {lifecycle.Running, lifecycle.Starting, nil, "watch running"},
		"running":                     {lifecycle.Running, lifecycle.Running, nil, "watch running"},
		"held but started":            {lifecycle.Ready, lifecycle.Running, nil, "watch running"},

		"stop before it was known":    {lifecycle.Shutdown, lifecycle.Assigned, nil, "clean shutdown"},
		"stop while preparing":        {lifecycle.Remove, lifecycle.Preparing, errOther, "clean shutdown"},
		"stop at ready":               {lifecycle.Shutdown, lifecycle.Ready, nil, "clean shutdown"},
		"stop while starting":         {lifecycle.Shutdown, lifecycle.Starting, nil, "stop shutdown"},
		"stop while running":          {lifecycle.Shutdown, lifecycle.Running, nil, "stop shutdown"},
		"stop and unhealthy":          {lifecycle.Shutdown, lifecycle.Running, unhealthy{}, "stop shutdown"},
		"stop after it ended":         {lifecycle.Shutdown, lifecycle.Running, exit1, "clean shutdown"},
		"stop what was never started": {lifecycle.Shutdown, lifecycle.Ready, unstarted{errOther}, "clean shutdown"},

		"cannot be prepared":      {lifecycle.Ready, lifecycle.Preparing, errOther, "clean rejected"},
		"cannot be started":       {lifecycle.Running, lifecycle.Ready, unstarted{errOther}, "clean failed"},
		"ends well":               {lifecycle.Running, lifecycle.Running, exit0, "clean complete"},
		"ends well unhealthy":     {lifecycle.Running, lifecycle.Running, unhealthy{}, "evict failed"},
		"ends badly":              {lifecycle.Running, lifecycle.Running, exit1, "clean failed"},
		"ends badly at the start": {lifecycle.Running, lifecycle.Starting, exit1, "clean failed"},
		"out of memory":           {lifecycle.Running, lifecycle.Running, exitOOM, "clean failed"},
		"never became healthy":    {lifecycle.Running, lifecycle.Starting, unhealthy{}, "evict failed"},
		"process is gone":         {lifecycle.Running, lifecycle.Running, errGone, "clean failed"},

		"ended":                {lifecycle.Running, lifecycle.Failed, exit1, "clean failed"},
		"ended and not wanted": {lifecycle.Remove, lifecycle.Complete, nil, "clean complete"},
		"given up by managers": {lifecycle.Running, lifecycle.Orphaned, nil, "clean orphaned"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			act, next := step(tt.desired, tt.observed, tt.cause)
			if got := fmt.Sprint(act, " ", lifecycle.Name(next)); got != tt.want {
				t.Errorf("step(%s, %s, %v) = %s, want %s",
					lifecycle.Name(tt.desired), lifecycle.Name(tt.observed), tt.cause, got, tt.want)
			}
		})
	}
}

// TestStepEnds shows that from any state, with any desired state and cause,
// the table leads forward and never in circles.
func TestStepEnds(t *testing.T) {
	causes := []error{nil, errOther, exit0, exit1, exitOOM, unhealthy{}, unstarted{errOther}, errGone}
	for d := range clusterpb.TaskState_name {
		for o := range clusterpb.TaskState_name {
			for _, cause := range causes {
				desired, observed := clusterpb.TaskState(d), clusterpb.TaskState(o)
				act, next := step(desired, observed, cause)
				if next < observed {
					t.Errorf("step(%v, %v, %v) leads back to %v", desired, observed, cause, next)
				}
				if moves := act != rest && act != clean && act != watch; moves && next == observed {
					t.Errorf("step(%v, %v, %v) = %v stays at %v", desired, observed, cause, act, next)
				}
				if cause != nil && desired < lifecycle.Shutdown && !lifecycle.Ended(next) {
					t.Errorf("step(%v, %v, %v) = %v %v ignores the cause", desired, observed, cause, act, next)
				}
			}
		}
	}
}
