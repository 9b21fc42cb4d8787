package containerd

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/integration/needs"
)

// unifiedRoot is where cgroups of version 2 are mounted here; beside those of
// version 1 it holds no controllers, which does not matter.
func unifiedRoot(t *testing.T) string {
	t.Helper()
	for _, path := range []string{cgroupRoot, filepath.Join(cgroupRoot, "unified")} {
		var st unix.Statfs_t
		if unix.Statfs(path, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return path
		}
	}
	t.Skip("needs cgroups of version 2")
	return ""
}

// TestOrphansOfUnifiedCgroups: where cgroups are of version 2, what containerd
// lost is found and ended as well, also in cgroups that the task made itself, and
// also what starts others while it is killed.
func TestOrphansOfUnifiedCgroups(t *testing.T) {
	needs.Root(t, "cgroups")
	root := unifiedRoot(t)
	parent := "/muster-test-orphans-" + strconv.Itoa(os.Getpid())
	x := &Executor{
		cfg:  Config{CgroupParent: parent, RunDir: t.TempDir(), Namespace: Namespace, Log: slog.New(slog.DiscardHandler)},
		host: host{cgroups: root, unified: true},
	}
	outer := filepath.Join(root, parent, "task")
	inner := filepath.Join(outer, "own", "deeper")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	var started []*exec.Cmd
	for dir, script := range map[string]string{
		outer: "exec unshare --pid --fork --kill-child sleep 1000",
		inner: "while :; do sleep 1000 & sleep 0.001; done",
	} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "echo $$ > "+dir+"/cgroup.procs; echo; "+script)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		started = append(started, cmd)
	}
	var main uint32
	for main == 0 { // unshare forks in a moment
		if t.Context().Err() != nil {
			t.Fatal("no main process")
		}
		main = orphan(x, "task")
	}
	if name := readFile("/proc/" + strconv.Itoa(int(main)) + "/comm"); name != "sleep\n" && name != "unshare\n" {
		t.Errorf("the main process is %q", name)
	}
	if orphan(x, "other") != 0 {
		t.Error("a task without a cgroup has a main process")
	}
	if err := endOrphans(x, "task"); err != nil {
		t.Error(err)
	}
	for _, cmd := range started {
		if err := cmd.Wait(); err == nil {
			t.Error("it ended by itself")
		}
	}
	if exists(outer) {
		t.Errorf("%s is left", outer)
	}
	if err := x.RemoveCgroups(); err != nil || exists(filepath.Join(root, parent)) {
		t.Errorf("the parent is left: %v", err)
	}
}
