package daemon

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// listening returns a socket that answers each connection with a byte, and its
// path. Its directory is short: paths of sockets are.
func listening(t *testing.T) (*socket, string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sock-") //nolint:usetesting // the names of t.TempDir are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "run", "muster.sock")
	s, err := listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("x"))
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-served
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
		_ = s.release()
	})
	return s, path
}

// ask connects and reads the byte.
func ask(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestSocketIsThereAgain: whatever of the run directory is taken away under a
// daemon, clients reach it after a look, and no other daemon gets the directory.
func TestSocketIsThereAgain(t *testing.T) {
	tests := map[string]func(dir string) error{
		"nothing":                   func(string) error { return nil },
		"the socket":                func(dir string) error { return os.Remove(filepath.Join(dir, "muster.sock")) },
		"the directory":             os.RemoveAll,
		"the directory's name":      func(dir string) error { return os.Rename(dir, dir+".old") },
		"the socket, for a file":    func(dir string) error { return replace(filepath.Join(dir, "muster.sock")) },
		"the socket and the note":   func(dir string) error { return removeAll(dir, "muster.sock", "daemon.pid") },
		"the directory, for a file": replaceDir,
	}
	for name, harm := range tests {
		t.Run(name, func(t *testing.T) {
			s, path := listening(t)
			old := ask(t, path)
			if err := harm(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
			if name == "the directory, for a file" {
				if err := s.look(); err == nil || s.trouble(context.Background()) == nil {
					t.Errorf("look = %v, trouble = %v, want the reason", err, s.trouble(context.Background()))
				}
				if err := os.Remove(filepath.Dir(path)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.look(); err != nil || s.trouble(context.Background()) != nil {
				t.Fatalf("look = %v, trouble = %v", err, s.trouble(context.Background()))
			}
			ask(t, path)
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the socket is %v, %v, want it for root alone", info.Mode(), err)
			}
			if _, err := old.Write([]byte("x")); err != nil {
				t.Errorf("who was connected is cut off: %v", err)
			}
			if dir, err := os.Open(filepath.Dir(path)); err != nil || unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				t.Errorf("another daemon gets the run directory: %v", err)
			}
		})
	}
}

// TestRunDirectoryOfAnother: two daemons never have one run directory, not even
// when it was removed under the first and the second was faster.
func TestRunDirectoryOfAnother(t *testing.T) {
	s, path := listening(t)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	other, err := hold("run", filepath.Dir(path), 0o711)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.keep(ctx); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "in use by another daemon") {
		t.Errorf("keep = %v, want that another daemon uses it", err)
	}
}

func removeAll(dir string, names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// replace puts a file in the place of another.
func replace(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, nil, 0o600)
}

func replaceDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.WriteFile(dir, nil, 0o600)
}
