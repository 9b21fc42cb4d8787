package containerd

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// TestCheckAccounts makes /etc/group what images may have there.
func TestCheckAccounts(t *testing.T) {
	fifo := func(path string) error { return unix.Mkfifo(path, 0o600) }
	tests := map[string]struct {
		put func(path string) error
		ok  bool
	}{
		"nothing":     {func(string) error { return nil }, true},
		"a file":      {func(path string) error { return os.WriteFile(path, []byte("root:x:0:\n"), 0o600) }, true},
		"a FIFO":      {fifo, false},
		"a device":    {func(path string) error { return unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(1, 5))) }, false},
		"a socket":    {func(path string) error { return unix.Mknod(path, unix.S_IFSOCK, 0) }, false},
		"a directory": {func(path string) error { return os.Mkdir(path, 0o700) }, false},
		"a link to a FIFO": {func(path string) error {
			if err := fifo(filepath.Join(filepath.Dir(path), "pipe")); err != nil {
				return err
			}
			return os.Symlink("/etc/pipe", path)
		}, false},
		"a link to the host's": {func(path string) error { return os.Symlink("/dev/zero", path) }, true}, // there is none in the image
		"a link in a circle":   {func(path string) error { return os.Symlink("group", path) }, false},
		"too large": {func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, maxAccounts+1))
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.Mkdir(filepath.Join(root, "etc"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := tt.put(filepath.Join(root, "etc", "group")); err != nil {
				if unix.Geteuid() != 0 {
					t.Skipf("only root makes it: %v", err)
				}
				t.Fatal(err)
			}
			err := checkAccounts(root)
			if (err == nil) != tt.ok {
				t.Errorf("looked up: %v, want it to work: %t", err, tt.ok)
			}
			if err != nil && name != "a link in a circle" && !errdefs.IsInvalidArgument(err) {
				t.Errorf("%v is not the image's fault", err)
			}
		})
	}
}
