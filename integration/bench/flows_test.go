package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress"
	"github.com/muster/muster/integration/needs"
)

// BenchmarkDrain has one task, and then fifty, ask how many connections they still have, as
// tasks that drain do, on a node with 100,000 connections. It tells what part of one core that
// takes, and how long a task waits for an answer.
func BenchmarkDrain(b *testing.B) {
	const flows, tasks, run = 100_000, 50, 20 * time.Second
	needs.Root(b, "a network namespace")
	netns := namespace(b)
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 88, 0, byte(10 + i)}) }
	fill(b, netns, flows, func(i int) netip.Addr { return addr(i % tasks) })
	for _, asking := range []int{1, tasks} {
		plane := ingress.New(ingress.Config{Netns: netns})
		before := used(b)
		answers, longest := ask(b, plane, asking, run, addr)
		share := 100 * (used(b) - before).Seconds() / run.Seconds()
		b.Logf("%d tasks, %d connections: %.1f %% of a core, %d answers, at most %v for one", asking, flows, share, answers, longest)
		b.ReportMetric(share, fmt.Sprintf("%%-of-a-core-%d", asking))
		b.ReportMetric(longest.Seconds(), fmt.Sprintf("s-longest-%d", asking))
	}
}

// ask has so many tasks count their connections for a while, each as often as one that drains.
func ask(b *testing.B, plane *ingress.Plane, tasks int, run time.Duration, addr func(int) netip.Addr) (answers int, longest time.Duration) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), run)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range tasks {
		wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				n, err := plane.Connections(ctx, []netip.Addr{addr(i)})
				took := time.Since(began)
				if ctx.Err() != nil {
					return
				}
				if err != nil || n == 0 {
					b.Errorf("task %d: %d connections, %v", i, n, err)
				}
				mu.Lock()
				answers, longest = answers+1, max(longest, took)
				mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond): // as a task that drains does
				}
			}
		})
	}
	wg.Wait()
	return answers, longest
}

// namespace makes a network namespace that ends with the benchmark.
func namespace(b *testing.B) (path string) {
	b.Helper()
	plane := ingress.New(ingress.Config{TaskDir: filepath.Join(b.TempDir(), "netns")})
	path, err := plane.CreateNetns("node")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := plane.DeleteNetns("node"); err != nil {
			b.Error(err)
		}
	})
	return path
}

// fill has the kernel track so many established connections to the servers.
func fill(b *testing.B, netns string, flows int, server func(int) netip.Addr) {
	b.Helper()
	ns, err := os.Open(netns)
	if err != nil {
		b.Fatal(err)
	}
	defer ns.Close()
	c, err := conntrack.Dial(&netlink.Config{NetNS: int(ns.Fd())})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	const established, hour = 3, 3600
	for i := range flows {
		client := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		f := conntrack.NewFlow(unix.IPPROTO_TCP, 0, client, netip.AddrFrom4([4]byte{10, 77, 0, 1}), uint16(1024+(i>>16)), 8111, hour, 0)
		f.TupleReply.IP.SourceAddress, f.TupleReply.Proto.SourcePort = server(i), 80
		f.ProtoInfo.TCP = &conntrack.ProtoInfoTCP{State: established}
		if err := c.Create(f); err != nil {
			b.Fatalf("flow %d: %v", i, err)
		}
	}
}

// used is how long this process has used cores.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
