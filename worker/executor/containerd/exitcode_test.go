package containerd

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestExitCode asks for the end of a process that somebody else has waited for.
func TestExitCode(t *testing.T) {
	self, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		t.Skipf("needs pidfd_open: %v", err)
	}
	defer func() { _ = unix.Close(self) }()
	if unix.IoctlPidfdInfo(self, &unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}) == unix.ENOTTY {
		t.Skip("needs Linux 6.15: the kernel does not tell how others' processes ended")
	}
	tests := map[string]struct {
		script string
		want   int32
	}{
		"success": {"read x", 0},
		"status":  {"read x; exit 6", 6},
		"signal":  {"read x; kill -9 $$", 137},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", tt.script)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w := watch(uint32(cmd.Process.Pid))
			defer w.close()
			if code, ok := w.exitCode(); ok {
				t.Errorf("a running process ended with %d", code)
			}
			if _, err := in.Write([]byte("\n")); err != nil {
				t.Error(err)
			}
			_ = cmd.Wait()
			if code, ok := w.exitCode(); !ok || code != tt.want {
				t.Errorf("exitCode = %d, %v, want %d", code, ok, tt.want)
			}
		})
	}
}
