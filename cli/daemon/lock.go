package daemon

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// lockTimeout is how long a daemon that was just killed may take to be gone.
const lockTimeout = time.Second

// lock takes the lock of f, at once or when its holder ends in time.
func lock(f *os.File) error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || time.Since(began) > lockTimeout {
			return err
		}
	}
}

// hold makes the directory of --kind-dir and keeps every other daemon out of it
// until the returned file is closed, or this process ends however it ends.
func hold(kind, dir string, mode os.FileMode) (*os.File, error) {
	if err := os.MkdirAll(dir, mode); err != nil {
		return nil, fmt.Errorf("make %s directory: %w", kind, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "daemon.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s directory: %w", kind, err)
	}
	if err := lock(f); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 20)) // empty when it cannot be read
		_ = f.Close()
		return nil, fmt.Errorf("the %s directory %s is in use by another daemon (process %s): stop it, or give this one another --%s-dir: %w",
			kind, dir, holder, kind, errdefs.ErrFailedPrecondition)
	}
	if err := f.Truncate(0); err != nil {
		return nil, fmt.Errorf("lock %s directory: %w", kind, err)
	}
	if _, err := f.WriteAt(fmt.Append(nil, os.Getpid()), 0); err != nil {
		return nil, fmt.Errorf("lock %s directory: %w", kind, err)
	}
	return f, nil
}
