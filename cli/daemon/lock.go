package daemon

import (
	"errors"
	"fmt"
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
// until the returned file is closed, or this process ends however it ends. The
// lock is the directory's own, since whatever is in it may be removed. It
// returns ErrFailedPrecondition if another daemon holds it.
func hold(kind, dir string, mode os.FileMode) (*os.File, error) {
	if err := os.MkdirAll(dir, mode); err != nil {
		return nil, fmt.Errorf("make %s directory: %w", kind, err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock %s directory: %w", kind, err)
	}
	note := filepath.Join(dir, "daemon.pid")
	if err := lock(f); err != nil {
		_ = f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s directory %s: %w", kind, dir, err)
		}
		holder, _ := os.ReadFile(note)
		if len(holder) == 0 {
			holder = []byte("unknown")
		}
		return nil, fmt.Errorf("the %s directory %s is in use by another daemon (process %s): stop it, or give this one another --%s-dir: %w",
			kind, dir, holder, kind, errdefs.ErrFailedPrecondition)
	}
	if err := os.WriteFile(note, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s directory: %w", kind, err), f.Close())
	}
	return f, nil
}
