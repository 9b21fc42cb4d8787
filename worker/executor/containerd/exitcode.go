package containerd

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// witness refers to a process by a pidfd. A containerd that starts forgets
// tasks whose process ended while it was away, and their exit status with
// them; the kernel tells it to whoever held a pidfd (Linux 6.15 and later).
type witness struct {
	fd int // negative when there is none
}

// watch begins to follow a process that runs.
func watch(pid uint32) witness {
	if pid == 0 {
		return witness{fd: -1}
	}
	fd, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		fd = -1
	}
	return witness{fd: fd}
}

// exitCode returns the status of the process as containerd would have given
// it. It reports false when the process lives or the kernel does not tell.
func (w witness) exitCode() (int32, bool) {
	if w.fd < 0 {
		return 0, false
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(w.fd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0, false
	}
	status := unix.WaitStatus(info.Exit_code)
	if status.Signaled() {
		return 128 + int32(status.Signal()), true
	}
	return int32(status.ExitStatus()), true
}

// await waits until the process has ended; none has. It returns ctx's error when
// that is done first.
func (w witness) await(ctx context.Context) error {
	for w.lives() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(rewait):
		}
	}
	return nil
}

func (w witness) lives() bool {
	if w.fd < 0 {
		return false
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, 0)
	return n == 0 && (err == nil || errors.Is(err, unix.EINTR))
}

func (w witness) close() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd)
	}
}
