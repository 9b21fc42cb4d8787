package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a process by its pidfd, which never stands for another one.
type process struct {
	pid  int
	file *os.File
}

// open refers to a process that runs.
func open(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("refer to process %d: %w", pid, err)
	}
	return &process{pid: pid, file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// adopt refers to the process that a pid file names, if it still is the one
// that the file was written for, and returns what the file says it runs.
func adopt(pidFile string) (p *process, runs string, err error) {
	raw, err := os.ReadFile(pidFile)
	if err != nil {
		return nil, "", err
	}
	var pid int
	var started, boot string
	if n, err := fmt.Sscan(string(raw), &pid, &started, &boot, &runs); n < 4 {
		return nil, "", fmt.Errorf("read %s: %w", pidFile, err)
	}
	if p, err = open(pid); err != nil {
		return nil, "", err
	}
	// The comparison comes after the open: whatever has that start time then
	// is what the pidfd stands for.
	if now, err := startTime(pid); err != nil || now != started+" "+boot {
		p.close()
		return nil, "", fmt.Errorf("process %d is another one than before", pid)
	}
	return p, runs, nil
}

// writePidFile notes a process with its start time, since numbers are reused,
// and what it runs, a word.
func writePidFile(path string, pid int, runs string) error {
	started, err := startTime(pid)
	if err != nil {
		return err
	}
	draft := path + ".new"
	if err := os.WriteFile(draft, fmt.Appendf(nil, "%d %s %s\n", pid, started, runs), 0o644); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

// startTime returns when a process started, in ticks since the boot, and which
// boot that is. A zombie counts as gone.
func startTime(pid int) (string, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	// The name in parentheses may hold anything; state is the field after it.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("tell this boot of the machine from others: %w", err)
	}
	return fields[19] + " " + strings.TrimSpace(string(boot)), nil
}

// wait returns nil once the process has ended.
func (p *process) wait(ctx context.Context) error {
	_ = p.file.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := p.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", p.pid, err)
	}
	err = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err == nil && n > 0
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

// signal sends a signal; a process that has ended needs none.
func (p *process) signal(sig syscall.Signal) error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	if errors.Is(sent, unix.ESRCH) {
		sent = nil
	}
	return errors.Join(err, sent)
}

func (p *process) close() { _ = p.file.Close() }
