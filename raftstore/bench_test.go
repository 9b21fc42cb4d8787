package raftstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

// BenchmarkPropose commits to the disk of the test's directory.
func BenchmarkPropose(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d-writers", writers), func(b *testing.B) {
			s := lone(b, b.TempDir())
			ctx := b.Context()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := w; i < b.N; i += writers {
						o := &raftpb.ObserveNode{Id: "n1", RaftAddr: fmt.Sprint(i)}
						if err := s.Propose(ctx, state.ObserveNode(o)); err != nil {
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

// BenchmarkLargeEntries tells how large the log's file gets by writes of
// 512 KiB: run it with -benchtime=10000x.
func BenchmarkLargeEntries(b *testing.B) {
	dir := b.TempDir()
	s := lone(b, dir)
	b.ResetTimer()
	large := strings.Repeat("x", 512<<10)
	for i := range b.N {
		o := &raftpb.ObserveNode{Id: "n1", RaftAddr: fmt.Sprint(i, large)}
		if err := s.Propose(b.Context(), state.ObserveNode(o)); err != nil {
			b.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "raft.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/(1<<20), "MiB")
}

// lone runs a member that leads alone and knows of a node n1.
func lone(b *testing.B, dir string) *raftstore.Store {
	b.Helper()
	_, link := raft.NewInmemTransport("m1")
	s, err := raftstore.Open(b.Context(), raftstore.Config{ID: "m1", Dir: dir, Transport: link})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	if err := s.Bootstrap(ctx); err != nil {
		b.Fatal(err)
	}
	if err := s.AwaitLeadership(ctx); err != nil {
		b.Fatal(err)
	}
	if err := s.Propose(ctx, node("n1")); err != nil {
		b.Fatal(err)
	}
	return s
}
