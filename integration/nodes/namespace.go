package nodes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Namespace is a named network namespace of a rack.
type Namespace struct {
	// Name is as `ip netns` lists it.
	Name string
}

// Path is the file that keeps the namespace.
func (n *Namespace) Path() string { return filepath.Join("/run/netns", n.Name) }

// exists reports whether the namespace is there.
func (n *Namespace) exists() bool {
	_, err := os.Stat(n.Path())
	return err == nil
}

// inode identifies the namespace as /proc/PID/ns/net does: "net:[4026531840]".
func (n *Namespace) inode() (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(n.Path(), &st); err != nil {
		return "", fmt.Errorf("namespace %s: %w", n.Name, err)
	}
	return fmt.Sprintf("net:[%d]", st.Ino), nil
}

// Do calls f on a thread that is in the namespace: a socket made there stays
// there. f must not leave its goroutine to make one.
func (n *Namespace) Do(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	there, err := os.Open(n.Path())
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace %s: %w", n.Name, err)
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread is lost: it stays locked, and ends with its goroutine.
		return errors.Join(err, fmt.Errorf("leave namespace %s: %w", n.Name, back))
	}
	runtime.UnlockOSThread()
	return err
}

// Dial connects from within the namespace. The host of addr is an IP address.
func (n *Namespace) Dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = n.Do(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Listen listens within the namespace on a tcp address.
func (n *Namespace) Listen(ctx context.Context, addr string) (l net.Listener, err error) {
	err = n.Do(func() error {
		var c net.ListenConfig
		l, err = c.Listen(ctx, "tcp", addr)
		return err
	})
	return l, err
}

// HTTP makes a client whose connections start in the namespace. It keeps
// connections alive unless reuse is false.
func (n *Namespace) HTTP(reuse bool) *http.Client {
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DialContext:         n.Dial,
			DisableKeepAlives:   !reuse,
			MaxIdleConnsPerHost: 64,
		},
	}
}

// Command prepares a command that runs in the namespace.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.Path(), "--", name}, args...)...)
}

// Output runs a command in the namespace and returns what it printed. The
// error holds what it printed to stderr.
func (n *Namespace) Output(ctx context.Context, name string, args ...string) (string, error) {
	return output(n.Command(ctx, name, args...))
}

// output runs cmd; its error tells the command line and what it complained about.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return string(out), fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return string(out), nil
}
