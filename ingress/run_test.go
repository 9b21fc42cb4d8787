package ingress

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/ingress/namespace"
	"github.com/muster/muster/integration/needs"
)

// TestRun drives the plane by its loop.
func TestRun(t *testing.T) {
	l := newLab(t, 1, false)
	n := l.nodes[0]
	ctx, cancel := context.WithCancel(t.Context())
	n.plane.cfg.Resync = 200 * time.Millisecond
	done := make(chan error, 1)
	go func() { done <- n.plane.Run(ctx) }()
	w := *l.want(0)
	for index := uint64(1); index <= 3; index++ {
		next := w
		next.Index = index
		n.plane.Set(&next)
	}
	applied := func(index uint64) {
		t.Helper()
		timeout := time.After(10 * time.Second)
		for {
			select {
			case got := <-n.applied:
				if got == index {
					return
				}
			case <-timeout:
				t.Fatalf("index %d was not applied", index)
			}
		}
	}
	applied(3)
	for deadline := time.Now().Add(10 * time.Second); n.plane.Repairs() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the timer repaired nothing")
		}
		// In the midst of a look it only spoils that; it may be gone still.
		_ = nsenter(n.netns, "ip", "link", "del", "mu0").Run()
		applied(3) // each tick applies again
	}
	// What cannot be applied is tried until it can.
	bad := w
	bad.Index, bad.Self.Underlay = 4, netip.MustParseAddr("10.77.0.200")
	n.plane.Set(&bad)
	l.ip(n.netns, "addr add 10.77.0.200/24 dev e0")
	applied(4)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

// TestAttachMany attaches tasks all at once, twice, and detaches them.
func TestAttachMany(t *testing.T) {
	const tasks = 100
	l := newLab(t, 1, false)
	l.apply()
	n := l.nodes[0]
	each := func(f func(Task) error) time.Duration {
		start := time.Now()
		var wg sync.WaitGroup
		for i := range tasks {
			task := Task{
				ID:          fmt.Sprintf("task-%d", i),
				Attachments: attached(netip.AddrFrom4([4]byte{10, 88, 1, byte(i)}), netip.MustParseAddr(fmt.Sprintf("fd88::1:%d", i))),
			}
			wg.Go(func() {
				if err := f(task); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return time.Since(start)
	}
	attach := func(task Task) error { return n.plane.Attach(t.Context(), task) }
	made := each(func(task Task) error {
		_, err := n.plane.CreateNetns(task.ID)
		return err
	})
	t.Cleanup(func() { each(func(task Task) error { return n.plane.DeleteNetns(task.ID) }) })
	d := each(attach)
	if has, err := n.plane.Netns(); err != nil || len(has) != tasks {
		t.Errorf("%d tasks have a namespace, %v; want %d", len(has), err, tasks)
	}
	t.Logf("%d namespaces in %s, attached in %s: %.0f/s", tasks, made, d, tasks/d.Seconds())
	each(attach)
	if out := l.ip(n.netns, "-br link"); strings.Count(out, TaskLinkPrefix) < tasks {
		t.Errorf("fewer than %d veths:\n%s", tasks, out)
	}
	for range 2 {
		each(func(task Task) error { return n.plane.Detach(t.Context(), task.ID) })
	}
	if links := l.ip(n.netns, "-br link show type veth"); strings.Contains(links, "\n"+TaskLinkPrefix) {
		t.Errorf("veths are left:\n%s", links)
	}
}

// TestAttachWaits: an attach may come before the overlay is there.
func TestAttachWaits(t *testing.T) {
	l := newLab(t, 1, false)
	n := l.nodes[0]
	l.taskNetns(n, "a")
	task := Task{ID: "a", Attachments: attached(netip.MustParseAddr("10.88.0.10"))}
	done := make(chan error, 1)
	go func() { done <- n.plane.Attach(t.Context(), task) }()
	l.apply()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := n.plane.Attach(t.Context(), Task{ID: "b"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("attach without an address: %v, want an invalid argument", err)
	}
	idle := New(Config{Netns: n.netns, TaskDir: l.dir})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := idle.Attach(ctx, task); err == nil {
		t.Error("attached without an overlay")
	}
}

func TestNetns(t *testing.T) {
	needs.Root(t, "network namespaces")
	path := fmt.Sprintf("/run/netns/ig-%d-ns", os.Getpid())
	for range 2 {
		if err := namespace.Create(path); err != nil {
			t.Fatal(err)
		}
	}
	if !namespace.Is(path) {
		t.Errorf("%s is not a network namespace", path)
	}
	for range 2 {
		if err := namespace.Delete(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", path, err)
	}
}
