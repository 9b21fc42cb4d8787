package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// start runs the program in a process group of its own, in front of the
// terminal if there is one: what a terminal sends to the group in front is for
// the program alone. It returns the pid, or 0 and the exit status.
func start(argv []string) (pid, status int) {
	path, err := exec.LookPath(argv[0])
	if err == nil || errors.Is(err, exec.ErrDot) {
		pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{ //nolint:gosec // running what it is given is what it is for
			Env: os.Environ(), Files: []uintptr{0, 1, 2},
			Sys: &syscall.SysProcAttr{Setpgid: true, Foreground: terminal(0), Ctty: 0},
		})
	}
	if err == nil {
		return pid, 0
	}
	why := err.Error()
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		why = argv[0] + ": " + errno.Error()
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return 0, fail(127, why)
	}
	return 0, fail(126, why)
}

func terminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// toPass are the signals that the program is given: all but those that are
// about this process.
func toPass() (signals []os.Signal) {
	for s := syscall.Signal(1); s <= 64; s++ {
		switch s {
		case syscall.SIGCHLD, syscall.SIGTTIN, syscall.SIGTTOU:
		case syscall.SIGURG: // Go's runtime sends itself these
		default:
			signals = append(signals, s)
		}
	}
	return signals
}

// pass gives a signal to the program.
func pass(pid int, s os.Signal) {
	if number, ok := s.(syscall.Signal); ok {
		_ = syscall.Kill(pid, number) // it may have changed to a user that may not be signalled
	}
}

// reap frees every process that has ended, whoever's child it was before. When
// the program is among them, it is over.
func reap(program int) (status int, over bool) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || pid == 0:
			return status, over
		case pid == program && ws.Signaled():
			status, over = 128+int(ws.Signal()), true
		case pid == program:
			status, over = ws.ExitStatus(), true
		}
	}
}
