package raftstore_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/storetest"
)

// populate returns a state with so many running tasks on 100 nodes.
func populate(t testing.TB, tasks int) *raftstore.State {
	t.Helper()
	spec := &clusterpb.TaskSpec{Container: &clusterpb.ContainerSpec{
		Image: "docker.io/library/nginx:latest", Env: []string{"A=1", "B=2", "C=3"}, Labels: map[string]string{"team": "web"},
	}}
	first := changes(cluster(), raftstore.PutService(&clusterpb.Service{Id: "s1", Spec: &clusterpb.ServiceSpec{Name: "web", Task: spec}}))
	for i := range 100 {
		first = append(first, node(fmt.Sprintf("n%d", i)))
	}
	s := storetest.State(t, first...)
	for from := 0; from < tasks; from += 1000 {
		var c []*raftpb.Change
		for i := from; i < min(from+1000, tasks); i++ {
			id := taskID(i)
			c = append(c,
				raftstore.CreateTask(&clusterpb.Task{Id: id, ServiceId: "s1", Slot: uint32(i), Spec: spec, Desired: lifecycle.Running}),
				raftstore.AssignTask(id, fmt.Sprintf("n%d", i%100), []string{fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)}),
				observe(id, lifecycle.Starting))
		}
		s = storetest.Apply(t, s, c...)
	}
	return s
}

func taskID(i int) string { return fmt.Sprintf("%025d", i) }

// BenchmarkApply folds statuses of 10,000 tasks, one a command, in batches of
// 64 as raft commits them.
func BenchmarkApply(b *testing.B) {
	f := raftstore.NewFSM()
	if err := f.Restore(readCloser{bytes.NewReader(snapshot(b, populate(b, 10_000)))}); err != nil {
		b.Fatal(err)
	}
	sub := f.Subscribe()
	defer sub.Close()
	// Two batches in turn, for a status that is known already is skipped.
	var batches [2][]*raft.Log
	for turn := range batches {
		for i := range 64 {
			status := &clusterpb.TaskStatus{State: lifecycle.Starting, Message: fmt.Sprintf("check %d failed", turn)}
			data, err := proto.Marshal(&raftpb.Command{
				ProposedAt: timestamppb.Now(),
				Changes:    changes(raftstore.ObserveTask(taskID(i*150), status)),
			})
			if err != nil {
				b.Fatal(err)
			}
			batches[turn] = append(batches[turn], &raft.Log{Data: data})
		}
	}
	b.ReportAllocs()
	index := f.State().Index
	for n := 0; b.Loop(); n++ {
		for _, l := range batches[n%2] {
			index++
			l.Index = index
		}
		f.ApplyBatch(batches[n%2])
	}
	b.ReportMetric(float64(b.N)*64/b.Elapsed().Seconds(), "commands/s")
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// BenchmarkPropose commits to the disk of the test's folder.
func BenchmarkPropose(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d-writers", writers), func(b *testing.B) {
			_, link := raft.NewInmemTransport("m1")
			s, err := raftstore.Open(b.Context(), raftstore.Config{ID: "m1", Dir: b.TempDir(), Transport: link})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					b.Error(err)
				}
			}()
			if err := s.Bootstrap(ctx); err != nil {
				b.Fatal(err)
			}
			if err := s.AwaitLeadership(ctx); err != nil {
				b.Fatal(err)
			}
			if err := s.Propose(ctx, node("n1")); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := w; i < b.N; i += writers {
						o := &raftpb.ObserveNode{Id: "n1", RaftAddr: fmt.Sprint(i)}
						if err := s.Propose(ctx, raftstore.ObserveNode(o)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proposals/s")
		})
	}
}

// BenchmarkSnapshot writes and reads 100,000 tasks.
func BenchmarkSnapshot(b *testing.B) {
	s := populate(b, 100_000)
	raw := snapshot(b, s)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			snapshot(b, s)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			if _, err := raftstore.ReadSnapshot(bytes.NewReader(raw)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStateMemory measures what a running task takes.
func BenchmarkStateMemory(b *testing.B) {
	const tasks = 20_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		s := populate(b, tasks)
		b.ReportMetric(float64(heap()-before)/tasks, "B/task")
		runtime.KeepAlive(s)
	}
}

// BenchmarkTasksOf ranges over a service of 1,000 tasks.
func BenchmarkTasksOf(b *testing.B) {
	s := populate(b, 1000)
	start := time.Now()
	for b.Loop() {
		n := 0
		for range s.TasksOf("s1") {
			n++
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N)/1000, "ns/task")
}
