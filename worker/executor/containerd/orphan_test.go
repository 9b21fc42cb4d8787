package containerd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/containerd"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// empty takes away all that is in the node's run directory, and waits for another
// containerd.
func (n *node) empty(t *testing.T) {
	t.Helper()
	first, run := n.managed.Pid(), filepath.Join(n.dir, "run")
	mounts, err := filepath.Glob(filepath.Join(run, "state", "*", "*", "*", "rootfs"))
	if err != nil || len(mounts) == 0 {
		t.Fatalf("root file systems: %v, %v", mounts, err)
	}
	for _, m := range mounts {
		if err := syscall.Unmount(m, syscall.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(run); err != nil {
		t.Fatal(err)
	}
	n.awaitAnother(t, first)
}

// awaitAnother waits until a containerd other than the first serves.
func (n *node) awaitAnother(t *testing.T, first int) {
	t.Helper()
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
}

// TestTasksThatContainerdLost: the run directory is emptied under tasks. A new
// containerd does not know them; they go on, and are stopped, started and
// released as others are: nothing runs twice, nothing is left.
func TestTasksThatContainerdLost(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	polite := task(box, "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done")
	released, again := task(box, "echo up; sleep 1000"), task(box, "echo up; exec sleep 1000")
	pids := make(map[*clusterpb.Task]int)
	for _, one := range []*clusterpb.Task{polite, released, again} {
		if err := n.Prepare(t.Context(), executor.Request{Task: one}, func(string) {}); err != nil {
			t.Fatal(err)
		}
		status, err := n.Start(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		pids[one] = int(status[0].GetPid())
		n.awaitLine(t, one.GetId(), "up\n")
	}
	ended := make(chan string, 1)
	go func() { // as the daemon that started it
		exit, err := n.Wait(t.Context(), polite.GetId())
		ended <- fmt.Sprint(exit.Code, err)
	}()
	if err := containerd.Lost(t.Context(), n.Executor, 0); err != nil {
		t.Errorf("nothing is lost, and it says: %v", err)
	}
	n.empty(t)
	if err := containerd.Lost(t.Context(), n.Executor, 0); err == nil || !strings.Contains(err.Error(), "containerd lost 3 that run") {
		t.Errorf("three are lost, and it says: %v", err)
	}
	select {
	case how := <-ended:
		t.Fatalf("the task was given up: %s", how)
	default:
	}
	n.open(t) // the daemon is another one
	later := make(chan string, 1)
	go func() {
		exit, err := n.Wait(t.Context(), polite.GetId())
		later <- fmt.Sprint(exit.Code, err)
	}()
	if pid := pids[polite]; !alive(pid) {
		t.Errorf("process %d of the task is gone", pid)
	}
	time.AfterFunc(300*time.Millisecond, func() { n.stop(t, polite) })
	for _, c := range []chan string{ended, later} {
		if how := <-c; how != "5 <nil>" && !strings.Contains(how, "not found") { // as kernels before 6.15 have it
			t.Errorf("it ended with %s, want 5", how)
		}
	}
	if got := n.logs(t, polite.GetId()); got != "up\nbye\n" {
		t.Errorf("it printed %q", got)
	}

	status, err := n.Start(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if alive(pids[again]) || !alive(int(status[0].GetPid())) {
		t.Errorf("process %d runs beside %d of the same task", pids[again], status[0].GetPid())
	}
	if err := n.Release(t.Context(), released.GetId()); err != nil {
		t.Fatal(err)
	}
	if alive(pids[released]) {
		t.Error("the released task serves on")
	}
}

// alive reports whether a process runs: it may be dead and not asked for yet.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// TestContainerdKilledInARelease kills containerd at all moments of releases. What
// is left is ended by their repetition; the end of the test looks for it.
func TestContainerdKilledInARelease(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	for delay := 2 * time.Millisecond; delay < 200*time.Millisecond; delay *= 6 {
		var tasks []*clusterpb.Task
		for range 3 {
			one := task(box, "sleep 1000")
			n.run(t, one)
			tasks = append(tasks, one)
		}
		pid := n.managed.Pid()
		kill := time.AfterFunc(delay, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
		var wg sync.WaitGroup
		for _, one := range tasks {
			wg.Go(func() {
				for range 5 { // as a controller does
					if err := n.Release(t.Context(), one.GetId()); err == nil {
						return
					} else if !errdefs.IsUnavailable(err) {
						t.Logf("killed after %v: %v", delay, err)
					}
				}
				t.Errorf("task %s was not released", one.GetId())
			})
		}
		wg.Wait()
		if !kill.Stop() {
			n.awaitAnother(t, pid)
		}
	}
}

// TestKilledShim: a shim that is killed leaves no socket behind once its task is
// released.
func TestKilledShim(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	one := task(box, "echo up; sleep 1000")
	n.run(t, one)
	n.awaitLine(t, one.GetId(), "up\n")
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, _ := os.ReadFile(file)
		if line := string(raw); strings.Contains(line, "containerd-shim") && strings.Contains(line, one.GetId()) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if exit, err := n.Wait(t.Context(), one.GetId()); err == nil && exit.Code != 137 {
		t.Errorf("exit = %+v, want 137", exit)
	}
	if err := n.Release(t.Context(), one.GetId()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(n.dir, "run", "s")); err != nil || len(left) > 0 {
		t.Errorf("left of the shim: %v, %v", left, err)
	}
}
