package ingress

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// timeWait is how many closed connections a task's kernel remembers: none. A
// client that uses one source port through two nodes within a minute meets
// what is remembered of the first connection, whose TCP timestamps another
// clock gave, and is not answered for a second or more: 3 % of the connections
// of one that asks three nodes 2,000 times a second. What the memory is for,
// packets that come late, the nodes' connection tracking keeps away.
const timeWait = "/proc/sys/net/ipv4/tcp_max_tw_buckets"

// CreateNetns makes the network namespace of a task and returns its path. It
// does nothing more if there is one already.
func (p *Plane) CreateNetns(taskID string) (path string, err error) {
	path = p.netns(taskID)
	return path, createNetns(path)
}

// DeleteNetns lets go of a task's network namespace, which ends with its last
// process. It does nothing if there is none.
func (p *Plane) DeleteNetns(taskID string) error { return deleteNetns(p.netns(taskID)) }

// Netns lists the tasks that have a network namespace, in order of their ids.
func (p *Plane) Netns() (taskIDs []string, err error) {
	entries, err := os.ReadDir(p.cfg.TaskDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	for _, e := range entries {
		taskIDs = append(taskIDs, e.Name())
	}
	return taskIDs, nil
}

// netns is the path of a task's network namespace.
func (p *Plane) netns(taskID string) string { return filepath.Join(p.cfg.TaskDir, taskID) }

// createNetns makes a network namespace and keeps it at path, whose directory
// is made if need be. It does nothing if path is one already.
func createNetns(path string) error {
	if isNetns(path) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return fmt.Errorf("create network namespace: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("create network namespace: %w", err)
	}
	f.Close()
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := os.WriteFile(timeWait, []byte("0"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("set sysctl: %w", err)
		}
		if err := unix.Mount(threadNetns(), path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		return nil
	})
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("create network namespace %s: %w", path, err)
	}
	return nil
}

// deleteNetns lets go of the network namespace at path, if there is one.
func deleteNetns(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete network namespace %s: unmount: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete network namespace: %w", err)
	}
	return nil
}

// isNetns reports whether path is a network namespace, not just a file.
func isNetns(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// inNetns calls f on a thread that is in the network namespace at path. The
// sockets that f opens stay in that namespace. An empty path is the namespace
// of the process.
func inNetns(path string, f func() error) error {
	if path == "" {
		return f()
	}
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close()
	return onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", path, err)
		}
		return f()
	})
}

// onThread calls f, which may leave the network namespace, on a thread of its
// own. A thread that cannot be brought back ends with its goroutine.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(threadNetns())
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer home.Close()
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func threadNetns() string { return fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()) }
