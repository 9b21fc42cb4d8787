package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"
)

// execDir has the pipes of a task's checks that run. It is in the run directory,
// and tells the next daemon which checks a daemon that crashed has left.
func execDir(runDir, taskID string) string { return filepath.Join(runDir, "exec", taskID) }

// staleExecs lists the ids of the checks that ran when the daemon before
// crashed, by task.
func staleExecs(runDir string) (map[string][]string, error) {
	// "exec/TASK/RANDOM/ID-stdout", as containerd's client names them
	pipes, err := filepath.Glob(filepath.Join(execDir(runDir, "*"), "*", "*-stdout"))
	if err != nil {
		return nil, fmt.Errorf("list pipes of health checks: %w", err)
	}
	stale := make(map[string][]string)
	for _, path := range pipes {
		task := filepath.Base(filepath.Dir(filepath.Dir(path)))
		stale[task] = append(stale[task], strings.TrimSuffix(filepath.Base(path), "-stdout"))
	}
	return stale, nil
}

// endStaleExecs ends the checks of a task that the daemon before has left, once.
// Nobody else would: they have no timeout but the daemon's, and containerd keeps
// those that have ended until they are deleted.
func endStaleExecs(ctx context.Context, x *Executor, taskID string) {
	x.mu.Lock()
	ids := x.stale[taskID]
	delete(x.stale, taskID)
	x.mu.Unlock()
	for _, id := range ids {
		if err := endStaleExec(ctx, x, taskID, id); err != nil {
			x.cfg.Log.WarnContext(ctx, "cannot free a health check of the daemon before", "task", taskID, "err", err)
		}
	}
}

// staleTimeout bounds how long a killed check may take to be gone.
const staleTimeout = 5 * time.Second

func endStaleExec(ctx context.Context, x *Executor, taskID, id string) error {
	ctx, cancel := context.WithTimeout(ctx, staleTimeout)
	defer cancel()
	resp, err := x.tasks().Get(ctx, &tasks.GetRequest{ContainerID: taskID, ExecID: id})
	if err == nil && running(resp.GetProcess()) {
		killGroup(ctx, x.tasks(), taskID, id)
		_, err = x.tasks().Wait(ctx, &tasks.WaitRequest{ContainerID: taskID, ExecID: id})
	}
	if err == nil {
		_, err = x.tasks().DeleteProcess(ctx, &tasks.DeleteProcessRequest{ContainerID: taskID, ExecID: id})
	}
	if err = native(err); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return removePipes(execDir(x.cfg.RunDir, taskID), id)
}

// removePipes removes the pipes of one check.
func removePipes(dir, id string) error {
	pipes, err := filepath.Glob(filepath.Join(dir, "*", id+"-stdout"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range pipes {
		if err := os.RemoveAll(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
