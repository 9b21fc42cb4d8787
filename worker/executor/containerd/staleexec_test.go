package containerd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"github.com/muster/muster/integration/needs"
	"github.com/muster/muster/proto/id"
	"github.com/muster/muster/worker/executor/containerd"
)

// TestChecksOfACrashedDaemon: checks that ran when a daemon crashed end with the
// next one, which follows their task: processes, containerd's records and pipes.
func TestChecksOfACrashedDaemon(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	one := task(box, "echo up; exec sleep 1000")
	n.run(t, one)
	n.awaitLine(t, one.GetId(), "up\n")

	ctx := namespaces.WithNamespace(t.Context(), containerd.Namespace)
	pipes := filepath.Join(n.dir, "run", "exec", one.GetId())
	running := n.crashedCheck(ctx, t, one.GetId(), pipes, "sleep 996 | cat")
	ended := n.crashedCheck(ctx, t, one.GetId(), pipes, "exit 3")
	made := n.crashedCheck(ctx, t, one.GetId(), pipes, "sleep 997")
	for _, p := range []client.Process{running, ended} {
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	left := func() int {
		resp, err := n.client.TaskService().ListPids(ctx, &tasks.ListPidsRequest{ContainerID: one.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		return len(resp.GetProcesses())
	}
	eventually(t, "one check to run and one to end", func() bool { return left() == 4 }) // the task, sh, sleep and cat

	n.open(t)
	following, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = n.Wait(following, one.GetId())
	}()
	defer func() { stop(); <-done }()
	eventually(t, "the checks to end", func() bool { return left() == 1 })
	eventually(t, "their pipes to go", func() bool {
		entries, err := os.ReadDir(pipes)
		return err == nil && len(entries) == 0
	})
	for what, p := range map[string]client.Process{"running": running, "ended": ended, "made": made} {
		_, err := n.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: one.GetId(), ExecID: p.ID()})
		if !errdefs.IsNotFound(errgrpc.ToNative(err)) {
			t.Errorf("containerd knows the check that was %s: %v", what, err)
		}
	}
	code, output, err := n.Exec(t.Context(), one.GetId(), []string{"echo", "well"})
	if err != nil || code != 0 || output != "well\n" {
		t.Errorf("a check of the next daemon = %d, %q, %v", code, output, err)
	}
}

// TestCheckCutShort: a check whose time is up while it is being made or started
// leaves nothing that runs.
func TestCheckCutShort(t *testing.T) {
	n := startNode(t)
	n.busybox(t, box)
	one := task(box, "echo up; exec sleep 1000")
	n.run(t, one)
	n.awaitLine(t, one.GetId(), "up\n")
	for timeout := 5 * time.Millisecond; timeout < 200*time.Millisecond; timeout += 30 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		if _, _, err := n.Exec(ctx, one.GetId(), []string{"/bin/sh", "-c", "sleep 996 | cat"}); err == nil {
			t.Error("Exec = nil, want an error")
		}
		cancel()
	}
	ctx := namespaces.WithNamespace(t.Context(), containerd.Namespace)
	eventually(t, "the task to be alone", func() bool {
		resp, err := n.client.TaskService().ListPids(ctx, &tasks.ListPidsRequest{ContainerID: one.GetId()})
		return err == nil && len(resp.GetProcesses()) == 1
	})
}

// TestCheckCutShortOnABusyMachine: a check whose process takes long to be started
// is given up in time, and leaves nothing that runs.
func TestCheckCutShortOnABusyMachine(t *testing.T) {
	real := needs.Runtime(t)
	bin := t.TempDir()
	for _, name := range []string{"containerd", "containerd-shim-runc-v2"} {
		if err := os.Symlink(filepath.Join(real, name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	slow := fmt.Sprintf("#!/bin/sh\ncase \" $* \" in\n*\" exec \"*) %[1]s \"$@\"; e=$?; sleep 7; exit $e;;\nesac\nexec %[1]s \"$@\"\n",
		filepath.Join(real, "runc"))
	if err := os.WriteFile(filepath.Join(bin, "runc"), []byte(slow), 0o755); err != nil {
		t.Fatal(err)
	}
	n := startNodeOf(t, bin)
	n.busybox(t, box)
	one := task(box, "echo up; exec sleep 1000")
	n.run(t, one)
	n.awaitLine(t, one.GetId(), "up\n")
	pids := func() int {
		ctx := namespaces.WithNamespace(t.Context(), containerd.Namespace)
		resp, err := n.client.TaskService().ListPids(ctx, &tasks.ListPidsRequest{ContainerID: one.GetId()})
		if err != nil {
			t.Error(err)
		}
		return len(resp.GetProcesses())
	}
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() {
		_, _, err := n.Exec(ctx, one.GetId(), []string{"/bin/sh", "-c", "sleep 996 | cat"})
		given <- err
	}()
	eventually(t, "the check to run", func() bool { return pids() == 4 }) // the task, sh, sleep and cat
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("Exec = %v, want what its context says", err)
	}
	eventually(t, "the task to be alone", func() bool { return pids() == 1 })
}

// crashedCheck makes a check whose daemon will not end it.
func (n *node) crashedCheck(ctx context.Context, t *testing.T, taskID, pipes, script string) client.Process {
	t.Helper()
	c, err := n.client.LoadContainer(ctx, taskID)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := c.Spec(ctx)
	if err != nil {
		t.Fatal(err)
	}
	main, err := c.Task(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec.Process.Args = []string{"/bin/sh", "-c", script}
	p, err := main.Exec(ctx, id.New(), spec.Process, cio.NewCreator(cio.WithStreams(nil, io.Discard, io.Discard), cio.WithFIFODir(pipes)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// eventually waits for cond, at most twenty seconds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited twenty seconds for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
