package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/task"
)

// leftovers is a runtime with containers of tasks.
type leftovers struct {
	executor.Executor
	ids     []string
	list    func() error            // asked before each list
	remove  func(task string) error // asked before each removal
	removed []string
}

func (l *leftovers) List(context.Context) (found []executor.Found, err error) {
	if l.list != nil {
		if err := l.list(); err != nil {
			return nil, err
		}
	}
	for _, id := range l.ids {
		found = append(found, executor.Found{TaskID: id})
	}
	return found, nil
}

func (l *leftovers) Remove(_ context.Context, id string) error {
	if l.remove != nil {
		if err := l.remove(id); err != nil {
			return err
		}
	}
	l.removed = append(l.removed, id)
	return nil
}

// knowing returns the sweeper of a node that knows some tasks.
func knowing(l *leftovers, ids ...string) *sweeper {
	log := slog.New(slog.DiscardHandler)
	known := &tasks{cfg: task.Config{Log: log}, byID: make(map[string]*task.Controller)}
	for _, id := range ids {
		known.add(&dispatchpb.TaskAssignment{Task: &clusterpb.Task{Id: id}}, nil)
	}
	return &sweeper{tasks: known, executor: l, log: log, due: make(chan struct{}, 1)}
}

func TestSweepRemovesWhatNobodyKnows(t *testing.T) {
	away := errors.New("the runtime restarts")
	tests := map[string]struct {
		leftovers
		come    string // is assigned while the list is made
		removed string
		err     error
	}{
		"all are known":             {leftovers: leftovers{ids: []string{"a", "b"}}},
		"one is not":                {leftovers: leftovers{ids: []string{"a", "x", "b"}}, removed: "x"},
		"one that is just assigned": {leftovers: leftovers{ids: []string{"c", "x"}}, come: "c", removed: "x"},
		"one that is gone already": {
			leftovers: leftovers{ids: []string{"x", "y"}, remove: func(id string) error {
				if id == "x" {
					return fmt.Errorf("no container of it: %w", errdefs.ErrNotFound)
				}
				return nil
			}}, removed: "y",
		},
		"one cannot be removed":  {leftovers: leftovers{ids: []string{"x"}, remove: func(string) error { return away }}, err: away},
		"the list is not to get": {leftovers: leftovers{ids: []string{"x"}, list: func() error { return away }}, err: away},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := knowing(&tt.leftovers, "a", "b")
			if tt.come != "" {
				tt.list = func() error {
					s.tasks.add(&dispatchpb.TaskAssignment{Task: &clusterpb.Task{Id: tt.come}}, nil)
					return nil
				}
			}
			if err := s.sweep(t.Context()); !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if got := strings.Join(tt.leftovers.removed, " "); got != tt.removed {
				t.Errorf("removed %q, want %q", got, tt.removed)
			}
		})
	}
}

// Nothing is swept before managers have told everything, and what failed is
// tried again without another word of theirs.
func TestSweepIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		l := &leftovers{ids: []string{"x"}, list: func() error {
			if tries++; tries < 4 {
				return errors.New("the runtime restarts")
			}
			return nil
		}}
		s := knowing(l)
		background(t, s.run)
		time.Sleep(time.Hour)
		synctest.Wait()
		if tries > 0 {
			t.Errorf("looked %d times before managers spoke", tries)
		}
		wake(s.due)
		time.Sleep(time.Minute)
		synctest.Wait()
		if tries != 4 || !slices.Equal(l.removed, []string{"x"}) {
			t.Errorf("after %d tries removed %v", tries, l.removed)
		}
	})
}

func TestTaskGoesOnFromWhatIsKnownOfIt(t *testing.T) {
	status := func(s clusterpb.TaskState, msg string) *clusterpb.TaskStatus {
		return &clusterpb.TaskStatus{State: s, Message: msg}
	}
	tests := map[string]struct {
		managers, own *clusterpb.TaskStatus
		state         clusterpb.TaskState
		message       string
	}{
		"nothing":                  {nil, nil, lifecycle.Assigned, ""},
		"managers' alone":          {status(lifecycle.Assigned, "theirs"), nil, lifecycle.Assigned, "theirs"},
		"its own is further":       {status(lifecycle.Assigned, "theirs"), status(lifecycle.Running, "own"), lifecycle.Running, "own"},
		"its own, never reported":  {nil, status(lifecycle.Preparing, "own"), lifecycle.Preparing, "own"},
		"the same, its own counts": {status(lifecycle.Running, "theirs"), status(lifecycle.Running, "own"), lifecycle.Running, "own"},
		"managers gave it up":      {status(lifecycle.Orphaned, "theirs"), status(lifecycle.Running, "own"), lifecycle.Orphaned, "theirs"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := initialStatus(&clusterpb.Task{Status: tt.managers}, tt.own)
			if got.GetState() != tt.state || got.GetMessage() != tt.message {
				t.Errorf("%v, want %s %q", got, tt.state, tt.message)
			}
		})
	}
}

// A manager that gave a task up replaced it: here it has to stop, though its
// desired state says nothing of that.
func TestOrphanIsOrderedToStop(t *testing.T) {
	tests := map[string]struct{ observed, desired, want clusterpb.TaskState }{
		"it runs":              {lifecycle.Running, lifecycle.Running, lifecycle.Running},
		"it failed":            {lifecycle.Failed, lifecycle.Running, lifecycle.Running},
		"it was given up":      {lifecycle.Orphaned, lifecycle.Running, lifecycle.Shutdown},
		"given up, it stops":   {lifecycle.Orphaned, lifecycle.Shutdown, lifecycle.Shutdown},
		"given up, it is gone": {lifecycle.Orphaned, lifecycle.Remove, lifecycle.Remove},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := &dispatchpb.TaskAssignment{Task: &clusterpb.Task{Desired: tt.desired, Status: &clusterpb.TaskStatus{State: tt.observed}}}
			if got := order(a).GetTask().GetDesired(); got != tt.want {
				t.Errorf("ordered %s, want %s", got, tt.want)
			}
			if a.GetTask().GetDesired() != tt.desired {
				t.Error("what managers said was changed")
			}
		})
	}
}
