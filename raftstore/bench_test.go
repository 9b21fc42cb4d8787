package raftstore_test

import (
	"context"
	"fmt"
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
