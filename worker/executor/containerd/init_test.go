package containerd_test

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/muster/muster/integration/needs"
	"github.com/muster/muster/worker/executor"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/pod"
)

// withInit lets a task ask for an init, beside other changes.
func withInit(more ...func(*clusterpb.ContainerSpec)) func(*clusterpb.TaskSpec) {
	return func(s *clusterpb.TaskSpec) {
		pod.Main(s).Init = new(true)
		for _, f := range more {
			f(pod.Main(s))
		}
	}
}

// TestInit: with an init a task sees, prints and ends as without, under a first
// process that is not its own.
func TestInit(t *testing.T) {
	needs.Runtime(t, "muster-init")
	n := startNode(t)
	n.busybox(t, box)
	n.busybox(t, "busybox:quit", func(c *v1.Config) { c.StopSignal = "SIGQUIT" })
	const traps = "trap 'exit 1' TERM; trap 'exit 2' QUIT; echo ready; while :; do sleep 0.1; done"
	tests := map[string]struct {
		task   *clusterpb.Task
		act    func(*testing.T, *clusterpb.Task)
		code   int32
		output string
	}{
		"is the first process": {task(box, "cat /proc/1/comm; test $$ = 1 || echo not me; exit 7", withInit()), nil, 7, "muster-init\nnot me\n"},
		"as a user, on a read-only root": {
			task(box, "id -u; touch /x 2>&1", withInit(func(c *clusterpb.ContainerSpec) { c.User, c.ReadOnly = "web", true })), nil, 1,
			"33\ntouch: /x: Read-only file system\n",
		},
		"without any capability": {
			task(box, traps, withInit(func(c *clusterpb.ContainerSpec) { c.CapDrop = []string{"ALL"} })), n.stop, 1, "ready\n",
		},
		"in front of its terminal": {
			task(box, `read -r _ _ _ _ group _ _ front _ < /proc/self/stat; test $group = $front && echo "in front"`, withInit(func(c *clusterpb.ContainerSpec) { c.Tty = true })), nil, 0, "in front\r\n",
		},
		"limits of the spec": {
			task(box, "ulimit -n", withInit(func(c *clusterpb.ContainerSpec) {
				c.Ulimits = []*clusterpb.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}}
			})), nil, 0, "100\n",
		},
		"by its own signal":        {task(box, "kill -SEGV $$", withInit()), nil, 139, ""},
		"stop signal":              {task(box, traps, withInit()), n.stop, 1, "ready\n"},
		"stop signal of the image": {task("busybox:quit", traps, withInit()), n.stop, 2, "ready\n"},
		"little memory and few processes": {
			task(box, "sleep 0.1; echo done", withInit(), func(s *clusterpb.TaskSpec) {
				s.Limits = &clusterpb.Resources{MemoryBytes: 8 << 20, Pids: 20}
			}), nil, 0, "done\n",
		},
		"no such program": {
			task(box, "", withInit(func(c *clusterpb.ContainerSpec) { c.Command = []string{"fly"} })), nil, 127,
			"muster-init: exec: \"fly\": executable file not found in $PATH\n",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n.run(t, tt.task)
			if tt.act != nil {
				n.awaitLine(t, tt.task.GetId(), "ready\n")
				tt.act(t, tt.task)
			}
			exit := n.wait(t, tt.task.GetId())
			if got := n.logs(t, tt.task.GetId()); exit != (executor.Exit{Code: tt.code}) || got != tt.output {
				t.Errorf("exit = %+v, printed %q, want %d, %q", exit, got, tt.code, tt.output)
			}
		})
	}
	t.Run("out of memory", func(t *testing.T) {
		one := task(box, "exec tail /dev/zero", withInit(), func(s *clusterpb.TaskSpec) { s.Limits = &clusterpb.Resources{MemoryBytes: 16 << 20} })
		n.run(t, one)
		if exit := n.wait(t, one.GetId()); exit != (executor.Exit{Code: 137, OOMKilled: true}) {
			t.Errorf("exit = %+v, want 137, for want of memory", exit)
		}
	})
}

// TestZombiesOfChecks: checks that take too long leave nothing behind where an
// init frees what they left.
func TestZombiesOfChecks(t *testing.T) {
	needs.Runtime(t, "muster-init")
	n := startNode(t)
	n.busybox(t, box)
	one := task(box, "echo ready; exec sleep 1000", withInit())
	n.run(t, one)
	n.awaitLine(t, one.GetId(), "ready\n")
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, _, err := n.Exec(ctx, one.GetId(), []string{"/bin/sh", "-c", "sleep 996 | cat"}); err == nil {
			t.Error("Exec = nil, want an error")
		}
		cancel()
	}
	code, output, err := n.Exec(t.Context(), one.GetId(), []string{"/bin/sh", "-c", `
		for i in $(seq 100); do left=$(ps | grep -v -e muster-init -e 'sleep 1000' -e grep -e 'ps$' -e ' sh ' -e PID); test -z "$left" && exit 0; sleep 0.05; done; echo "$left"; exit 1`})
	if err != nil || code != 0 {
		t.Errorf("left by the checks: %q, %d, %v", strings.TrimSpace(output), code, err)
	}
}
