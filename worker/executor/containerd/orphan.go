package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	taskpb "github.com/containerd/containerd/api/types/task"
)

// hierarchies lists where cgroups are mounted: one place for version 2, one for
// each controller for version 1.
func (h host) hierarchies() ([]string, error) {
	if h.unified {
		return []string{h.cgroups}, nil
	}
	entries, err := os.ReadDir(h.cgroups)
	if err != nil {
		return nil, fmt.Errorf("list cgroup hierarchies: %w", err)
	}
	var roots []string
	for _, e := range entries {
		roots = append(roots, filepath.Join(h.cgroups, e.Name()))
	}
	return roots, nil
}

// directories lists where a cgroup is: nowhere, or in some hierarchies.
func (h host) directories(cgroup string) (paths []string, err error) {
	roots, err := h.hierarchies()
	if err != nil {
		return nil, err
	}
	for _, root := range roots {
		if path := filepath.Join(root, cgroup); exists(path) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// TasksWithCgroup lists the tasks that have a cgroup below parent, whether
// containerd knows them or not.
func TasksWithCgroup(parent string) (taskIDs []string, err error) {
	paths, err := inspectHost().directories(parent)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		entries, err := os.ReadDir(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list cgroups of tasks: %w", err)
		}
		for _, e := range entries {
			if e.IsDir() {
				taskIDs = append(taskIDs, e.Name())
			}
		}
	}
	slices.Sort(taskIDs)
	return slices.Compact(taskIDs), nil
}

// Lost returns an error that tells how many tasks run that containerd does not
// know, and have done so for longer than a start takes.
func Lost(ctx context.Context, x *Executor, start time.Duration) error {
	ids, err := TasksWithCgroup(x.cfg.CgroupParent)
	if err != nil || len(ids) == 0 {
		return err
	}
	resp, err := x.tasks().List(x.inNamespace(ctx), &tasks.ListTasksRequest{})
	if err != nil {
		return fmt.Errorf("list processes: %w", native(err))
	}
	lost := 0
	for _, id := range ids {
		known := slices.ContainsFunc(resp.GetTasks(), func(p *taskpb.Process) bool { return p.GetID() == id })
		if !known && time.Since(x.host.made(x.cgroup(id))) >= start && orphan(x, id) != 0 {
			lost++
		}
	}
	if lost > 0 {
		return fmt.Errorf("containerd lost %d that run, as when its run directory is emptied: they go on, without checks by command, until they are replaced (service update --force)", lost)
	}
	return nil
}

// made is when a cgroup was made; the zero time if there is none.
func (h host) made(cgroup string) (at time.Time) {
	paths, err := h.directories(cgroup)
	if err != nil || len(paths) == 0 {
		return at
	}
	if info, err := os.Stat(paths[0]); err == nil {
		at = info.ModTime()
	}
	return at
}

// orphan returns the main process of a task that containerd lost, or 0 when it
// does not run. It is the first of its own process namespace.
func orphan(x *Executor, taskID string) (pid uint32) {
	paths, err := x.host.directories(x.cgroup(taskID))
	if err != nil || len(paths) == 0 {
		return 0
	}
	for _, dir := range within(paths[0]) {
		for line := range strings.Lines(readFile(filepath.Join(dir, "cgroup.procs"))) {
			n, err := strconv.ParseUint(strings.TrimSpace(line), 10, 32)
			if err == nil && isFirst(readFile(fmt.Sprintf("/proc/%d/status", n))) {
				return uint32(n)
			}
		}
	}
	return 0
}

// isFirst reports whether a process with this status is the first of a process
// namespace right below ours.
func isFirst(status string) bool {
	for line := range strings.Lines(status) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(ids)
			return len(fields) == 2 && fields[1] == "1"
		}
	}
	return false
}

// signalOrphan sends a signal to the main process of a task that containerd
// lost; one that does not run needs none.
func signalOrphan(x *Executor, taskID string, sig syscall.Signal) error {
	pid := orphan(x, taskID)
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(int(pid), sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %v to process %d: %w", sig, pid, err)
	}
	return nil
}

// endOrphans ends what is left of a task that containerd knows nothing of: its
// notes and sockets are lost when the run directory is emptied, or when it is
// killed while it deletes the task; shim and processes run on. Where the task
// has a cgroup, or its shim a socket, something is left.
func endOrphans(x *Executor, taskID string) error {
	left, err := x.host.directories(x.cgroup(taskID))
	if err != nil {
		return err
	}
	if len(left) == 0 && !exists(shimSocket(x, taskID)) {
		return nil
	}
	x.cfg.Log.Warn("containerd lost a task: what is left of it is ended", "task", taskID)
	if err := killShims(taskID, x.cfg.Namespace, x.cfg.RunDir); err != nil {
		return err
	}
	deadline := time.Now().Add(emptying)
	for _, path := range left {
		if err := killCgroup(path, deadline); err != nil {
			return fmt.Errorf("end what is left of task %s: %w", taskID, err)
		}
	}
	if err := os.RemoveAll(filepath.Join(runcRoot(x), x.cfg.Namespace, taskID)); err != nil {
		return fmt.Errorf("remove notes about the container: %w", err)
	}
	return removeShimSocket(x, taskID)
}

// shimSocket is where the task's shim listens; "" when that is not known.
func shimSocket(x *Executor, taskID string) string {
	if x.cfg.ShimSocket == nil {
		return ""
	}
	return x.cfg.ShimSocket(taskID)
}

// removeShimSocket removes what a shim that was killed has left.
func removeShimSocket(x *Executor, taskID string) error {
	path := shimSocket(x, taskID)
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the socket of a shim: %w", err)
	}
	return nil
}

// killShims kills the shims of a task, known by their arguments, of a containerd
// below runDir.
func killShims(taskID, namespace, runDir string) error {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil || !isShim(strings.Split(string(raw), "\x00"), taskID, namespace, runDir) {
			continue // it has ended, or is another's
		}
		if err := killPid(filepath.Base(filepath.Dir(file))); err != nil {
			return fmt.Errorf("end the shim of task %s: %w", taskID, err)
		}
	}
	return nil
}

// isShim reports whether a process with these arguments is a task's shim.
func isShim(args []string, taskID, namespace, runDir string) bool {
	value := func(flag string) string {
		i := slices.Index(args, flag)
		if i < 0 || i+1 >= len(args) {
			return ""
		}
		return args[i+1]
	}
	return filepath.Base(args[0]) == "containerd-shim-runc-v2" && value("-id") == taskID &&
		value("-namespace") == namespace && strings.HasPrefix(value("-address"), runDir+"/")
}

// within lists a cgroup's directory and those in it, the innermost first. One
// that is gone has none.
func within(path string) (dirs []string) {
	//nolint:errcheck // what vanishes is no longer within
	filepath.WalkDir(path, func(dir string, e fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir
		}
		if e.IsDir() {
			dirs = append(dirs, dir)
		}
		return nil
	})
	slices.Reverse(dirs)
	return dirs
}

// killCgroup kills all processes of a cgroup and of those in it, also those that
// they start meanwhile, and removes them.
func killCgroup(path string, deadline time.Time) error {
	for ; ; <-time.After(20 * time.Millisecond) {
		var errs []error
		for _, dir := range within(path) {
			errs = append(errs, killProcesses(dir), removeCgroup(dir, time.Time{}))
		}
		err := errors.Join(errs...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// killProcesses kills the processes that are in one cgroup.
func killProcesses(dir string) error {
	for pid := range strings.Lines(readFile(filepath.Join(dir, "cgroup.procs"))) {
		if err := killPid(strings.TrimSpace(pid)); err != nil {
			return err
		}
	}
	return nil
}

// killPid kills a process; one that has ended needs none.
func killPid(pid string) error {
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 1 {
		return fmt.Errorf("process id %q is none to kill", pid)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process %d: %w", n, err)
	}
	return nil
}
