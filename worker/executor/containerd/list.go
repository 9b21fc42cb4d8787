package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/api/services/tasks/v1"
	taskpb "github.com/containerd/containerd/api/types/task"

	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/tasklog"
)

// List implements executor.Executor. A trace is anything that Release or
// Remove would free: a process, a container, a snapshot, a network namespace,
// files, pipes or logs.
func (x *Executor) List(ctx context.Context) ([]executor.Found, error) {
	ctx = x.inNamespace(ctx)
	found := make(map[string]executor.Found)
	taskOf, err := x.containerTasks(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range taskOf {
		found[id] = executor.Found{TaskID: id}
	}
	for _, trace := range []func(context.Context) ([]string, error){x.networkIDs, x.fileIDs} {
		ids, err := trace(ctx)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			found[id] = executor.Found{TaskID: id}
		}
	}
	var processes []*taskpb.Process
	err = retried(ctx, func() error {
		resp, err := x.tasks().List(ctx, &tasks.ListTasksRequest{})
		processes = resp.GetTasks()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for _, p := range processes {
		one := executor.Found{TaskID: cmp.Or(taskOf[p.GetID()], p.GetID()), Running: running(p)}
		if one.Running {
			one.Pid = p.GetPid()
		}
		if !found[one.TaskID].Running {
			found[one.TaskID] = one
		}
	}
	list := make([]executor.Found, 0, len(found))
	for _, one := range found {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b executor.Found) int { return cmp.Compare(a.TaskID, b.TaskID) })
	return list, nil
}

// containerTasks tells of which task each container is, by the container's id.
func (x *Executor) containerTasks(ctx context.Context) (map[string]string, error) {
	taskOf := make(map[string]string)
	err := retried(ctx, func() error {
		list, err := x.containers().List(ctx, fmt.Sprintf("labels.%q", taskLabel))
		for _, c := range list {
			taskOf[c.ID] = c.Labels[taskLabel]
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	return taskOf, nil
}

func (x *Executor) networkIDs(context.Context) ([]string, error) {
	ids, err := x.cfg.Network.Attached()
	if err != nil {
		return nil, fmt.Errorf("list networks of tasks: %w", err)
	}
	return ids, nil
}

// fileIDs lists the tasks with files, pipes or logs. Files are made right
// after the snapshot, so a snapshot without files is the rarest of leftovers;
// making the container again finds and uses it.
func (x *Executor) fileIDs(context.Context) ([]string, error) {
	ids, err := tasklog.Tasks(x.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	piped, err := tasklog.PipeTasks(x.cfg.RunDir)
	if err != nil {
		return nil, fmt.Errorf("list pipes: %w", err)
	}
	entries, err := os.ReadDir(filepath.Join(x.cfg.StateDir, "tasks"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list files of tasks: %w", err)
	}
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return append(ids, piped...), nil
}

// running reports whether the process was started and lives.
func running(p *taskpb.Process) bool {
	switch p.GetStatus() {
	case taskpb.Status_RUNNING, taskpb.Status_PAUSED, taskpb.Status_PAUSING:
		return true
	default:
		return false
	}
}

// stopped reports whether the process has ended.
func stopped(p *taskpb.Process) bool { return p.GetStatus() == taskpb.Status_STOPPED }
