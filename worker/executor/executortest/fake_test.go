package executortest_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/executortest"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

func task(image string) *clusterpb.Task {
	return &clusterpb.Task{Id: "t1", Spec: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: image}}}}
}

func quiet(string) {}

// start prepares and starts a task.
func start(t *testing.T, f *executortest.Fake, task *clusterpb.Task) {
	t.Helper()
	if err := f.Prepare(t.Context(), executor.Request{Task: task}, quiet); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Start(t.Context(), task); err != nil {
		t.Fatal(err)
	}
}

func TestExit(t *testing.T) {
	tests := map[string]struct {
		behaviour executortest.Behaviour
		// act is done once the task runs.
		act   func(f *executortest.Fake, task *clusterpb.Task)
		exit  executor.Exit
		after time.Duration
	}{
		"by itself": {
			behaviour: executortest.Behaviour{ExitAfter: 3 * time.Second, Exit: executor.Exit{Code: 4}},
			exit:      executor.Exit{Code: 4}, after: 3 * time.Second,
		},
		"at once": {
			behaviour: executortest.Behaviour{ExitAtOnce: true, Exit: executor.Exit{Code: 1, OOMKilled: true}},
			exit:      executor.Exit{Code: 1, OOMKilled: true},
		},
		"stopped": {
			behaviour: executortest.Behaviour{StopDelay: time.Second, StopCode: 143},
			act:       func(f *executortest.Fake, task *clusterpb.Task) { _ = f.Signal(t.Context(), task) },
			exit:      executor.Exit{Code: 143}, after: time.Second,
		},
		"killed though it ignores the signal": {
			behaviour: executortest.Behaviour{IgnoreStop: true},
			act: func(f *executortest.Fake, task *clusterpb.Task) {
				_ = f.Signal(t.Context(), task)
				time.Sleep(time.Minute)
				_ = f.Kill(t.Context(), task.GetId())
			},
			exit: executor.Exit{Code: 137}, after: time.Minute,
		},
		"rebooted, which forgets the process": {
			act:  func(f *executortest.Fake, task *clusterpb.Task) { time.AfterFunc(time.Hour, f.Reboot) },
			exit: executor.Exit{Code: 137}, after: time.Hour,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, began := executortest.New(), time.Now()
				f.Script("app", tt.behaviour)
				app := task("app")
				start(t, f, app)
				if tt.act != nil {
					tt.act(f, app)
				}
				got, err := f.Wait(t.Context(), "t1")
				if err != nil || got != tt.exit {
					t.Errorf("Wait = %+v, %v, want %+v", got, err, tt.exit)
				}
				if took := time.Since(began); took != tt.after {
					t.Errorf("ended after %v, want %v", took, tt.after)
				}
			})
		})
	}
}

func TestPrepareFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, want := executortest.New(), errors.New("no such image")
		f.Script("bad", executortest.Behaviour{PrepareDelay: time.Second, PrepareErr: want})
		if err := f.Prepare(t.Context(), executor.Request{Task: task("bad")}, quiet); !errors.Is(err, want) {
			t.Errorf("Prepare = %v, want %v", err, want)
		}
		if _, err := f.Start(t.Context(), task("bad")); !errdefs.IsNotFound(err) {
			t.Errorf("Start = %v, want not found", err)
		}
	})
}

func TestReleaseKeepsATraceAndRemoveDoesNot(t *testing.T) {
	f := executortest.New()
	start(t, f, task("app"))
	found, _ := f.List(t.Context())
	if len(found) != 1 || !found[0].Running {
		t.Fatalf("List = %+v, want t1 running", found)
	}
	_ = f.Release(t.Context(), "t1")
	found, _ = f.List(t.Context())
	if len(found) != 1 || found[0].Running {
		t.Errorf("List after Release = %+v, want t1 not running", found)
	}
	if _, err := f.Wait(t.Context(), "t1"); !errdefs.IsNotFound(err) {
		t.Errorf("Wait after Release = %v, want not found", err)
	}
	_ = f.Remove(t.Context(), "t1")
	if found, _ = f.List(t.Context()); len(found) != 0 {
		t.Errorf("List after Remove = %+v, want nothing", found)
	}
}

func TestHealthFollowsTheScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := executortest.New()
		f.Script("app", executortest.Behaviour{HealthyAfter: 2 * time.Second, UnhealthyAfter: 5 * time.Second})
		start(t, f, task("app"))
		for _, want := range []int32{1, 1, 0, 0, 0, 1} {
			if got, _, err := f.Exec(t.Context(), "t1", nil); err != nil || got != want {
				t.Errorf("Exec = %d, %v, want %d", got, err, want)
			}
			time.Sleep(time.Second)
		}
	})
}
