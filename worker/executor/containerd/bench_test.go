package containerd_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/muster/muster/proto/id"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/containerd"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

const (
	// together is how many tasks are started at once.
	together = 20
	// turns is how often each contender starts as many: 100 containers in all.
	turns = 5
)

// BenchmarkStart compares, on one containerd, how many containers a second are
// made and started: by the executor; by containerd's own client given the same
// OCI spec; and by that client with its default spec, which has neither a
// seccomp profile nor logs. The client does four at a time, which is as many as
// help on two cores. They take turns, so that whatever else the machine does
// weighs on all alike.
//
//	go test -run - -bench Start -benchtime 1x ./worker/executor/containerd
func BenchmarkStart(b *testing.B) {
	n := startNode(b)
	n.busybox(b, box)
	same := n.sameSpec(b)
	for b.Loop() {
		var ours, alike, lean time.Duration
		for range turns {
			ours += n.startOurs(b)
			alike += n.startBare(b, same)
			lean += n.startBare(b, n.leanSpec)
		}
		rate := func(d time.Duration) float64 { return turns * together / d.Seconds() }
		b.ReportMetric(rate(ours), "muster/s")
		b.ReportMetric(rate(alike), "same-spec/s")
		b.ReportMetric(rate(lean), "lean-spec/s")
		b.ReportMetric(100*rate(ours)/rate(alike), "%same")
		b.ReportMetric(100*rate(ours)/rate(lean), "%lean")
	}
}

// startOurs returns how long the executor takes to prepare and start the tasks.
func (n *node) startOurs(b *testing.B) time.Duration {
	b.Helper()
	tasks := make([]*clusterpb.Task, together)
	for i := range tasks {
		tasks[i] = task(box, "exec sleep 1000")
	}
	began := time.Now()
	var wg sync.WaitGroup
	for _, one := range tasks {
		wg.Go(func() {
			if err := n.Prepare(b.Context(), executor.Request{Task: one}, func(string) {}); err != nil {
				b.Errorf("prepare: %v", err)
				return
			}
			if _, err := n.Start(b.Context(), one); err != nil {
				b.Errorf("start: %v", err)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	for _, one := range tasks {
		wg.Go(func() {
			if err := n.Remove(b.Context(), one.GetId()); err != nil {
				b.Errorf("remove: %v", err)
			}
		})
	}
	wg.Wait()
	return took
}

// leanSpec is what containerd's client makes by itself.
func (n *node) leanSpec(img client.Image) client.NewContainerOpts {
	return client.WithNewSpec(oci.WithImageConfig(img), oci.WithProcessArgs("/bin/sleep", "1000"),
		func(_ context.Context, _ oci.Client, made *containers.Container, s *oci.Spec) error {
			s.Linux.CgroupsPath = n.cgroup + "/" + made.ID
			return nil
		})
}

// sameSpec is what the executor makes.
func (n *node) sameSpec(b *testing.B) func(client.Image) client.NewContainerOpts {
	b.Helper()
	one := task(box, "exec sleep 1000")
	if err := n.Prepare(b.Context(), executor.Request{Task: one}, func(string) {}); err != nil {
		b.Fatal(err)
	}
	made, err := n.client.LoadContainer(b.Context(), one.GetId())
	if err != nil {
		b.Fatal(err)
	}
	spec, err := made.Spec(namespaces.WithNamespace(b.Context(), containerd.Namespace))
	if err != nil {
		b.Fatal(err)
	}
	return func(client.Image) client.NewContainerOpts {
		return func(ctx context.Context, c *client.Client, made *containers.Container) error {
			own := *spec
			linux := *spec.Linux
			linux.CgroupsPath = n.cgroup + "/" + made.ID
			own.Linux = &linux
			return client.WithSpec(&own)(ctx, c, made)
		}
	}
}

// startBare starts as many containers with containerd's own client.
func (n *node) startBare(b *testing.B, spec func(client.Image) client.NewContainerOpts) time.Duration {
	b.Helper()
	ctx := namespaces.WithNamespace(b.Context(), containerd.Namespace)
	img, err := n.client.GetImage(ctx, "docker.io/library/"+box)
	if err != nil {
		b.Fatal(err)
	}
	slots := make(chan struct{}, 4)
	var mu sync.Mutex
	var undo []func()
	began := time.Now()
	var wg sync.WaitGroup
	for range together {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			key := id.New()
			c, err := n.client.NewContainer(ctx, key, client.WithNewSnapshot(key, img), spec(img))
			if err != nil {
				b.Errorf("bare: %v", err)
				return
			}
			t, err := c.NewTask(ctx, cio.NullIO)
			if err == nil {
				err = t.Start(ctx)
			}
			if err != nil {
				b.Errorf("bare: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			undo = append(undo, func() {
				_, errTask := t.Delete(ctx, client.WithProcessKill)
				if err := c.Delete(ctx, client.WithSnapshotCleanup); err != nil || errTask != nil {
					b.Errorf("bare: delete: %v, %v", err, errTask)
				}
			})
		})
	}
	wg.Wait()
	took := time.Since(began)
	for _, f := range undo {
		wg.Go(f)
	}
	wg.Wait()
	return took
}
