package containerd_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/muster/muster/worker/executor/containerd"
)

// TestTasksThatContainerdLost: the run directory is emptied under a task. A new
// containerd does not know it; its release ends process and shim all the same.
func TestTasksThatContainerdLost(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	one := task(box, "echo up; sleep 1000")
	n.run(t, one)
	n.awaitLine(t, one.GetId(), "up\n")
	first := n.managed.Pid()
	run := filepath.Join(n.dir, "run")
	mounts, err := filepath.Glob(filepath.Join(run, "state", "*", "*", "*", "rootfs"))
	if err != nil || len(mounts) != 1 {
		t.Fatalf("root file systems: %v, %v", mounts, err)
	}
	if err := syscall.Unmount(mounts[0], syscall.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	n.stopLogger()
	if err := os.RemoveAll(run); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for n.managed.Pid() == first || n.managed.Pid() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("waited for another containerd")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := containerd.Ready(t.Context(), n.client, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := n.Release(t.Context(), one.GetId()); err != nil {
		t.Fatal(err)
	}
	if left := processes(n.dir); len(left) != 0 {
		t.Errorf("shims left: %q", left)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*" + n.cgroup + "/" + one.GetId()); len(left) != 0 {
		t.Errorf("cgroups left: %q", left)
	}
	n.startLogger(t)
	next := task(box, "echo next")
	n.run(t, next)
	n.wait(t, next.GetId())
}

// TestPipesOfChecksAreFreed: a daemon that crashed while a check ran leaves the
// pipes of the check; the next one removes them.
func TestPipesOfChecksAreFreed(t *testing.T) {
	dir := t.TempDir()
	pipes := filepath.Join(dir, "exec", "1234")
	if err := os.MkdirAll(pipes, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(pipes, "check-stdout"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := containerd.New(containerd.Config{StateDir: dir, RunDir: dir, CgroupParent: "/muster-test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(pipes); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", pipes, err)
	}
}
