package node

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/task"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// fakeTasks has a node with that many tasks, one fewer after each look.
type fakeTasks struct {
	controlpb.TaskServiceClient // a call the test did not expect panics
	left                        int
	stuck                       bool
	waits                       string // why the task that is to follow has no node; "" when it has
}

func (f *fakeTasks) ListTasks(_ context.Context, of *controlpb.ListTasksRequest, _ ...grpc.CallOption) (*controlpb.ListTasksResponse, error) {
	if len(of.GetServiceIds()) > 0 {
		return &controlpb.ListTasksResponse{Tasks: []*clusterpb.Task{
			{ServiceId: "web", Slot: 1, NodeId: "other", Status: &clusterpb.TaskStatus{State: lifecycle.Running, Err: "not asked"}},
			{ServiceId: "web", Slot: 1, Status: &clusterpb.TaskStatus{State: lifecycle.Shutdown, Err: "over"}},
			{ServiceId: "web", Slot: 2, Status: &clusterpb.TaskStatus{State: lifecycle.Pending, Err: "not left here"}},
			{ServiceId: "web", Slot: 1, Status: &clusterpb.TaskStatus{State: lifecycle.Pending, Err: f.waits}},
		}}, nil
	}
	r := &controlpb.ListTasksResponse{Tasks: []*clusterpb.Task{{Status: &clusterpb.TaskStatus{State: lifecycle.Shutdown}}}}
	for range f.left {
		r.Tasks = append(r.Tasks, &clusterpb.Task{ServiceId: "web", Slot: 1, Status: &clusterpb.TaskStatus{State: lifecycle.Running}})
	}
	if !f.stuck {
		f.left--
	}
	return r, nil
}

func TestWaitEmpty(t *testing.T) {
	tests := map[string]struct {
		stuck     bool
		waits     string
		interrupt time.Duration
		status    int
		out, err  string
	}{
		"drains": {status: command.ExitOK, out: "draining: 2 tasks left\ndraining: 1 task left\ndrained: no task is left\n"},
		"stuck":  {stuck: true, status: command.ExitTimeout, out: "draining: 2 tasks left\n", err: "not drained in 1m0s"},
		"no place": {
			stuck: true, waits: "no suitable node", status: command.ExitTimeout,
			out: "draining: 2 tasks left\ndraining: 2 tasks left; web.1 waits: no suitable node\n",
			err: "not drained in 1m0s; web.1 waits: no suitable node; the node keeps draining",
		},
		"interrupted": {stuck: true, interrupt: time.Second, status: command.ExitInterrupted, out: "draining: 2 tasks left\n", err: "keeps draining"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tt.interrupt > 0 {
					time.AfterFunc(tt.interrupt, func() { cancel(errors.New("signal")) })
				}
				var out bytes.Buffer
				err := waitEmpty(ctx, &command.Env{Out: &out, Err: &out}, &fakeTasks{left: 2, stuck: tt.stuck, waits: tt.waits}, task.Names{}, "node", time.Minute)
				if command.ExitStatus(err) != tt.status || out.String() != tt.out {
					t.Errorf("%v, output %q, want status %d and %q", err, out.String(), tt.status, tt.out)
				}
				if err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error = %v, want %q", err, tt.err)
				}
			})
		})
	}
}
