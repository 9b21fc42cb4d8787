// Package namespace makes the network namespaces of tasks, lets go of them, and
// has code run inside them.
package namespace

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

// Create makes a network namespace and keeps it at path, whose directory is
// made if need be. It does nothing if path is one already.
func Create(path string) error {
	if Is(path) {
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
		if err := unix.Mount(ofThread(), path, "", unix.MS_BIND, ""); err != nil {
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

// Delete lets go of the network namespace at path, if there is one. It ends
// with its last process and its last socket.
func Delete(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete network namespace %s: unmount: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete network namespace: %w", err)
	}
	return nil
}

// Is reports whether path is a network namespace, not just a file.
func Is(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// In calls f on a thread that is in the network namespace at path. The sockets
// that f opens stay in that namespace. An empty path is the namespace of the
// process.
func In(path string, f func() error) error {
	if path == "" {
		return f()
	}
	return Visit(func(enter func(path string) error) error {
		if err := enter(path); err != nil {
			return err
		}
		return f()
	})
}

// Visit calls f on a thread of its own, which each call of enter brings into
// another network namespace. It is for many of them: a thread costs more than
// entering does.
func Visit(f func(enter func(path string) error) error) error {
	return onThread(func() error {
		return f(func(path string) error {
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("open network namespace: %w", &os.PathError{Op: "open", Path: path, Err: err})
			}
			defer func() { _ = unix.Close(fd) }()
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter network namespace %s: %w", path, err)
			}
			return nil
		})
	})
}

// onThread calls f, which may leave the network namespace, on a thread of its
// own. A thread that cannot be brought back ends with its goroutine.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(ofThread())
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

func ofThread() string { return fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()) }
