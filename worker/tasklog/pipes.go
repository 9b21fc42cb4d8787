package tasklog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	logspb "github.com/muster/muster/proto/logs/v1"
)

// Endings of the pipes' names, by stream.
const (
	stdoutExt = ".stdout"
	stderrExt = ".stderr"
)

// PipeDir is the directory of the tasks' pipes; the logger watches it.
func PipeDir(runDir string) string { return filepath.Join(runDir, "pipes") }

// Pipes are the named pipes that a task's process writes to.
type Pipes struct {
	// Stdout and Stderr are paths; a task with a terminal has no Stderr.
	Stdout, Stderr string
}

// PipesOf names the pipes of a task.
func PipesOf(runDir, taskID string, tty bool) Pipes {
	p := Pipes{Stdout: filepath.Join(PipeDir(runDir), taskID+stdoutExt)}
	if !tty {
		p.Stderr = filepath.Join(PipeDir(runDir), taskID+stderrExt)
	}
	return p
}

// Create makes the pipes anew and holds both their ends open: whoever opens
// them meanwhile does not have to wait for the other side, and nothing written
// to them is lost.
func (p Pipes) Create() (*Hold, error) {
	if err := os.MkdirAll(filepath.Dir(p.Stdout), 0o711); err != nil {
		return nil, fmt.Errorf("make directory of the pipes: %w", err)
	}
	h := &Hold{}
	for _, path := range []string{p.Stdout, p.Stderr} {
		if path == "" {
			continue
		}
		fd, err := makePipe(path)
		if err != nil {
			h.Close()
			return nil, err
		}
		h.fds = append(h.fds, fd)
	}
	return h, nil
}

// Hold keeps pipes open.
type Hold struct {
	fds []int
}

// Close lets go of the pipes.
func (h *Hold) Close() {
	for _, fd := range h.fds {
		_ = unix.Close(fd)
	}
	h.fds = nil
}

// Await waits until the logger reads the pipes, at most timeout. What a task
// writes before that is gone when the task ends first.
func (h *Hold) Await(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("the logger does not read after %v: %w", timeout, errdefs.ErrUnavailable))
	defer cancel()
	for _, fd := range h.fds {
		for !taken(fd) {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Millisecond):
			}
		}
	}
	return nil
}

// taken reports whether the logger has the pipe open: it keeps a shared lock
// on it, which goes with the logger.
func taken(fd int) bool {
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return true
	}
	_ = unix.Flock(fd, unix.LOCK_UN)
	return false
}

// makePipe makes one pipe and opens both of its ends. It gets its name last,
// so that the logger never sees one that nobody holds.
func makePipe(path string) (int, error) {
	draft := path + ".new"
	_ = os.Remove(draft)
	if err := unix.Mkfifo(draft, 0o600); err != nil {
		return -1, fmt.Errorf("make pipe %s: %w", path, err)
	}
	fd, err := unix.Open(draft, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		err = os.Rename(draft, path)
	}
	if err != nil {
		_ = os.Remove(draft)
		return -1, fmt.Errorf("open pipe %s: %w", path, err)
	}
	return fd, nil
}

// RemovePipes removes a task's pipes. What the task wrote before is still read
// by a logger that has them open.
func RemovePipes(runDir, taskID string) error {
	var errs []error
	for _, ext := range []string{stdoutExt, stderrExt} {
		err := os.Remove(filepath.Join(PipeDir(runDir), taskID+ext))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// PipeTasks lists the tasks that have pipes.
func PipeTasks(runDir string) ([]string, error) {
	entries, err := os.ReadDir(PipeDir(runDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if taskID, stream, ok := parsePipe(e.Name()); ok && stream == stdout {
			ids = append(ids, taskID)
		}
	}
	return ids, nil
}

// Short names of the streams.
const (
	stdout = logspb.LogMessage_STREAM_STDOUT
	stderr = logspb.LogMessage_STREAM_STDERR
)

// parsePipe tells whose pipe a file is.
func parsePipe(name string) (taskID string, stream logspb.LogMessage_Stream, ok bool) {
	if taskID, ok = strings.CutSuffix(name, stdoutExt); ok {
		return taskID, stdout, true
	}
	taskID, ok = strings.CutSuffix(name, stderrExt)
	return taskID, stderr, ok
}
