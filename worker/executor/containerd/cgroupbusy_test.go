package containerd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/muster/muster/integration/needs"
)

// TestCgroupThatIsBusy: a cgroup whose last process is about to end is removed
// once it has.
func TestCgroupThatIsBusy(t *testing.T) {
	needs.Root(t, "cgroups")
	dir := filepath.Join(cgroupRoot, "pids")
	if _, err := os.Stat(dir); err != nil {
		dir = cgroupRoot // v2
	}
	dir = filepath.Join(dir, "muster-test-busy-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	end := time.AfterFunc(200*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer end.Stop()
	if err := removeCgroup(dir, time.Now().Add(emptying)); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("what was in it ended by itself")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}
