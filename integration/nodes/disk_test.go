package nodes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper makes a rack of one node with a disk, whose daemon does nothing.
func sleeper(t *testing.T) (r *Rack, n *Node) {
	t.Helper()
	r = Build(t, Config{
		Nodes: 1, Spare: 1, Disk: 16 << 20,
		Command: func(*Node) []string { return []string{"sleep", "1000000"} },
		Ready:   func(*Node) error { return nil },
	})
	r.Start()
	return r, r.Nodes[0]
}

// TestDiskStandsStill: what writes waits, also for its end, until the disk is
// thawed or the power is off. What is on the disk outlives both.
func TestDiskStandsStill(t *testing.T) {
	r, n := sleeper(t)
	write := func(ctx context.Context, name string) error {
		_, err := n.Output(ctx, "sh", "-c", "echo "+name+" >"+filepath.Join(n.StateDir(), name))
		return err
	}
	if err := errors.Join(write(t.Context(), "before"), n.Disk.Freeze()); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- write(t.Context(), "during") }()
	r.Eventually("the writer to wait", 5*time.Second, func() error { return waits(n) })
	if err := n.Disk.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Errorf("a write that waited: %v", err)
	}

	if err := n.Disk.Freeze(); err != nil {
		t.Fatal(err)
	}
	go func() { written <- write(t.Context(), "late") }()
	r.Eventually("the writer to wait", 5*time.Second, func() error { return waits(n) })
	n.Kill()
	if err := <-written; err == nil {
		t.Error("a writer outlives the power")
	}
	if left := n.Leftovers(); len(left) > 0 {
		t.Errorf("left of the node: %s", left)
	}
	n.Start()
	for _, name := range []string{"before", "during"} {
		if _, err := os.Stat(filepath.Join(n.StateDir(), name)); err != nil {
			t.Error(err)
		}
	}
	n.Kill()
	if err := n.Disk.Wipe(); err != nil {
		t.Fatal(err)
	}
	n.Start()
	if _, err := os.Stat(filepath.Join(n.StateDir(), "before")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("on a wiped disk: %v", err)
	}
}

// waits returns nil when a process of the node is in a sleep that nothing breaks off.
func waits(n *Node) error {
	all, err := n.Processes()
	if err != nil {
		return err
	}
	for _, p := range all {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID)); err == nil && strings.Contains(string(stat), ") D ") {
			return nil
		}
	}
	return fmt.Errorf("none of %v does", all)
}

// TestDiskIsFull: nothing can be written until there is room again, and no
// other node notices.
func TestDiskIsFull(t *testing.T) {
	r, n := sleeper(t)
	file := filepath.Join(n.StateDir(), "file")
	if err := n.Disk.Fill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("some"), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a write to a full disk: %v", err)
	}
	if err := os.WriteFile(filepath.Join(r.Spare[0].StateDir(), "file"), []byte("some"), 0o600); err != nil {
		t.Error(err)
	}
	if err := errors.Join(n.Disk.Free(), os.WriteFile(file, []byte("some"), 0o600)); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}
