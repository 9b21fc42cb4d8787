package supervise

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell returns the config of a child that runs script.
func shell(t *testing.T, script string) Config {
	t.Helper()
	dir := t.TempDir()
	return Config{
		Name: "test", Command: []string{"/bin/sh", "-c", script},
		RunDir: filepath.Join(dir, "run"), StateDir: dir, LogFile: filepath.Join(dir, "test.log"),
	}
}

// running runs c until the test ends or stop is called; then it ends the child.
func running(t *testing.T, c *Child) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = func() {
		cancel()
		if done != nil {
			if err := <-done; err != nil {
				t.Errorf("Run = %v", err)
			}
			done = nil
		}
	}
	t.Cleanup(func() {
		stop()
		if err := c.Stop(context.Background(), time.Second); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	return stop
}

// eventually waits for cond, at most ten seconds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited ten seconds for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestChildIsRestarted(t *testing.T) {
	c := New(shell(t, "exec sleep 1000"))
	running(t, c)
	eventually(t, "the child", func() bool { return c.Pid() != 0 })
	first := c.Pid()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another child", func() bool { return c.Pid() != 0 && c.Pid() != first })
}

func TestChildOutlivesItsDaemonAndIsAdopted(t *testing.T) {
	cfg := shell(t, "echo hello; exec sleep 1000")
	first := New(cfg)
	stop := running(t, first)
	eventually(t, "the child", func() bool { return first.Pid() != 0 })
	pid := first.Pid()
	stop()

	second := New(cfg)
	running(t, second)
	eventually(t, "the adopted child", func() bool { return second.Pid() != 0 })
	if second.Pid() != pid {
		t.Errorf("second daemon has child %d, want %d", second.Pid(), pid)
	}
	eventually(t, "what it printed", func() bool {
		raw, _ := os.ReadFile(cfg.LogFile)
		return strings.Count(string(raw), "hello") == 1
	})
	if sid, err := syscall.Getpgid(pid); err != nil || sid != pid {
		t.Errorf("process group of the child is %d, %v, want its own %d", sid, err, pid)
	}
}

// TestChildOfAnotherVersionIsReplaced: what the daemon was told, or updated to,
// would otherwise have no effect until somebody kills the child.
func TestChildOfAnotherVersionIsReplaced(t *testing.T) {
	before := shell(t, "exec sleep 1000")
	first := New(before)
	stop := running(t, first)
	eventually(t, "the child", func() bool { return first.Pid() != 0 })
	pid := first.Pid()
	stop()

	after := before
	after.Command = append(slices.Clone(before.Command), "another option")
	second := New(after)
	running(t, second)
	eventually(t, "the new child", func() bool { return second.Pid() != 0 })
	if second.Pid() == pid {
		t.Error("the child with the old options runs on")
	}
	if _, err := startTime(pid); err == nil {
		t.Error("both run")
	}
}

// TestRunDirectoryIsEmptied empties the directory under a child that is attended
// to, and under one that the next daemon finds: it is started anew, and never
// runs twice.
func TestRunDirectoryIsEmptied(t *testing.T) {
	for name, restart := range map[string]bool{"under a daemon": false, "between two daemons": true} {
		t.Run(name, func(t *testing.T) {
			cfg := shell(t, "exec sleep 1000")
			c := New(cfg)
			stop := running(t, c)
			eventually(t, "the child", func() bool { return c.Pid() != 0 })
			first := c.Pid()
			if restart {
				stop()
			}
			if err := os.RemoveAll(cfg.RunDir); err != nil {
				t.Fatal(err)
			}
			if restart {
				c = New(cfg)
				running(t, c)
			}
			eventually(t, "another child", func() bool { return c.Pid() != 0 && c.Pid() != first })
			if _, err := startTime(first); err == nil {
				t.Errorf("the first child runs beside the second")
			}
		})
	}
}

// TestSocketIsRemoved takes away what a child listens at, and no more: under a
// daemon, and between two. A child that has not made it yet is left alone.
func TestSocketIsRemoved(t *testing.T) {
	for name, restart := range map[string]bool{"under a daemon": false, "between two daemons": true} {
		t.Run(name, func(t *testing.T) {
			cfg := shell(t, "while test ! -e go; do sleep 0.05; done; : > run/socket; exec sleep 1000")
			cfg.Command[2] = "cd " + cfg.StateDir + "; " + cfg.Command[2]
			socket := filepath.Join(cfg.RunDir, "socket")
			cfg.Sockets = []string{socket}
			c := New(cfg)
			stop := running(t, c)
			eventually(t, "the child", func() bool { return c.Pid() != 0 })
			first := c.Pid()
			if !c.reachable() {
				t.Error("a child that starts counts as lost")
			}
			if err := os.WriteFile(filepath.Join(cfg.StateDir, "go"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the child to serve", func() bool {
				noted, _ := os.ReadFile(c.mark())
				return string(noted) == served
			})
			if restart {
				stop()
			}
			if err := os.Remove(socket); err != nil {
				t.Fatal(err)
			}
			if restart {
				c = New(cfg)
				running(t, c)
			}
			eventually(t, "another child", func() bool { return c.Pid() != 0 && c.Pid() != first })
			if _, err := startTime(first); err == nil {
				t.Errorf("the first child runs beside the second")
			}
		})
	}
}

func TestAnotherProcessIsNotAdopted(t *testing.T) {
	c := New(shell(t, "exec sleep 1000"))
	// Our own pid, but started at another time.
	now, err := startTime(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.pidFile(), []byte("1 9"+now+" "+c.runs()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	running(t, c)
	eventually(t, "the child", func() bool { return c.Pid() != 0 })
	if c.Pid() == 1 {
		t.Error("adopted process 1")
	}
}

func TestStop(t *testing.T) {
	tests := map[string]string{
		"polite":   "exec sleep 1000",
		"stubborn": "trap '' TERM; while :; do sleep 0.05; done",
	}
	for name, script := range tests {
		t.Run(name, func(t *testing.T) {
			c := New(shell(t, script))
			running(t, c)
			eventually(t, "the child", func() bool { return c.Pid() != 0 })
			pid := c.Pid()
			if err := c.Stop(t.Context(), 200*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if _, err := startTime(pid); err == nil {
				t.Errorf("child %d still runs", pid)
			}
		})
	}
}

func TestRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("0123456789"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := rotateFile(path, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".1"); err == nil {
		t.Error("a file that is not too large was rotated")
	}
	if err := rotateFile(path, 9); err != nil {
		t.Fatal(err)
	}
	if old, _ := os.ReadFile(path + ".1"); string(old) != "0123456789" {
		t.Errorf("old log holds %q", old)
	}
	if now, _ := os.ReadFile(path); len(now) != 0 {
		t.Errorf("log holds %q after the rotation", now)
	}
	if err := os.WriteFile(path, []byte("0123456789"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := rotateFile(path, 2); err != nil {
		t.Fatal(err)
	}
	if old, _ := os.ReadFile(path + ".1"); string(old) != "6789" {
		t.Errorf("old log holds %q of a child that printed much at once, want its end", old)
	}
}

// TestRotateWhereNothingCanBeCopied: a log grows no further on a full disk.
func TestRotateWhereNothingCanBeCopied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("0123456789"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := rotateFile(path, 2); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("rotateFile = %v, want what is wrong", err)
	}
	if now, _ := os.ReadFile(path); len(now) != 0 {
		t.Errorf("log holds %q after the rotation", now)
	}
}

// lines sends what is written to it.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestFirstRestart: who must not be missed is back sooner than others.
func TestFirstRestart(t *testing.T) {
	cfg := shell(t, "exit 1")
	cfg.FirstRestart = 10 * time.Microsecond
	said := make(lines, 1000)
	cfg.Log = slog.New(slog.NewTextHandler(said, nil))
	running(t, New(cfg))
	eventually(t, "the restart", func() bool {
		line := <-said
		_, after, ended := strings.Cut(line, " in=")
		if !ended {
			return false
		}
		in, err := time.ParseDuration(strings.Fields(after)[0])
		if err != nil || in > 20*time.Microsecond {
			t.Errorf("the first restart comes in %s, %v", in, err)
		}
		return true
	})
}
