package containerd

import (
	"bytes"
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
)

// hierarchies lists where cgroups are mounted: one place for version 2, one for
// each controller for version 1.
func (h host) hierarchies() ([]string, error) {
	if h.unified {
		return []string{cgroupRoot}, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, fmt.Errorf("list cgroup hierarchies: %w", err)
	}
	var roots []string
	for _, e := range entries {
		roots = append(roots, filepath.Join(cgroupRoot, e.Name()))
	}
	return roots, nil
}

// endOrphans ends what is left of a task that containerd knows nothing of: its
// notes and sockets are lost when the run directory is emptied, its shim and
// processes run on. Where the task has a cgroup, something is left.
func endOrphans(x *Executor, taskID string) error {
	roots, err := x.host.hierarchies()
	if err != nil {
		return err
	}
	var left []string
	for _, root := range roots {
		path := filepath.Join(root, x.cgroup(taskID))
		if _, err := os.Stat(path); err == nil {
			left = append(left, path)
		}
	}
	if len(left) == 0 {
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

// killCgroup kills all processes of a cgroup and of those in it, and removes
// them, the innermost first.
func killCgroup(path string, deadline time.Time) error {
	var dirs []string
	err := filepath.WalkDir(path, func(dir string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, dir)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		raw, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for pid := range bytes.Lines(raw) {
			if err := killPid(string(bytes.TrimSpace(pid))); err != nil {
				return err
			}
		}
		if err := removeCgroup(dir, deadline); err != nil {
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
