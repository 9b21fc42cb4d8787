package raftstore_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// large is a change of 512 KiB that leaves the state as large as it was.
func large(i int) *raftpb.Change {
	return state.ObserveNode(&raftpb.ObserveNode{Id: "n1", RaftAddr: fmt.Sprint(i, strings.Repeat("x", 512<<10))})
}

// TestLogIsBoundedInBytes: few large entries must not fill the disk of any
// member, and nothing is lost by it.
func TestLogIsBoundedInBytes(t *testing.T) {
	run(t, 2, func(b *bubble) {
		t, ms := b.T, b.members
		for _, m := range ms {
			m.stop()
			m.config.LogBytes = 1 << 20
			m.start()
		}
		heal(ms)
		l := leader(t, ms)
		propose(t, l, node("n1"))
		const writes = 100
		for i := range writes {
			propose(t, l, large(i))
		}
		want := storetest.Snapshot(t, l.State())
		for _, m := range ms {
			eventually(t, "copy of the state", func() bool { return bytes.Equal(storetest.Snapshot(t, m.State()), want) })
			info, err := os.Stat(filepath.Join(m.config.Dir, "raft.db"))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Size() >> 20; got > writes/4 {
				t.Errorf("the log of %s takes %d MiB after %d MiB of writes", m.config.ID, got, writes/2)
			}
			m.stop()
			m.start()
		}
		heal(ms)
		for _, m := range ms {
			eventually(t, "state after a restart", func() bool { return bytes.Equal(storetest.Snapshot(t, m.State()), want) })
		}
	})
}

// batches is the most bytes that were written to a log at once.
type batches struct {
	mu   sync.Mutex
	most int
}

func (b *batches) wrap(l raft.LogStore) raft.LogStore { return batchLog{l, b} }

type batchLog struct {
	raft.LogStore
	batches *batches
}

func (l batchLog) StoreLogs(logs []*raft.Log) error {
	sum := 0
	for _, e := range logs {
		sum += len(e.Data)
	}
	l.batches.mu.Lock()
	l.batches.most = max(l.batches.most, sum)
	l.batches.mu.Unlock()
	return l.LogStore.StoreLogs(logs)
}

func (l batchLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// TestMemberThatFellBehindIsSentLittleAtATime: 64 entries may be 96 MiB.
func TestMemberThatFellBehindIsSentLittleAtATime(t *testing.T) {
	run(t, 3, func(b *bubble) {
		t, ms := b.T, b.members
		propose(t, ms[0], node("n1"))
		l := leader(t, ms)
		var behind *member
		for _, m := range ms {
			if m != l {
				behind = m
			}
		}
		var got batches
		behind.stop()
		behind.config.WrapLog = got.wrap
		for i := range 40 {
			propose(t, l, large(i))
		}
		behind.start()
		heal(ms)
		want := storetest.Snapshot(t, l.State())
		eventually(t, "the member that fell behind", func() bool { return bytes.Equal(storetest.Snapshot(t, behind.State()), want) })
		if got.most > 4<<20 || got.most < 1<<20 {
			t.Errorf("it wrote %.1f MiB at once, want some, and 4 at most", float64(got.most)/(1<<20))
		}
	})
}

// TestLargeProposalsTakeTurns: what comes at once is not written at once, for a
// write that takes longer than maxWrite costs the lead.
func TestLargeProposalsTakeTurns(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, m := b.T, b.members[0]
		propose(t, m, node("n1"))
		var got batches
		d := &hangingDisk{}
		d.hang()
		d.thaw()
		m.stop()
		m.config.WrapLog = func(l raft.LogStore) raft.LogStore { return hangingLog{got.wrap(l), d} }
		m.start()
		if err := m.AwaitLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.hang()
		var writers sync.WaitGroup
		for i := range 60 {
			writers.Go(func() { propose(t, m, large(i)) })
		}
		time.Sleep(time.Second) // all have come
		d.thaw()
		writers.Wait()
		if got.most > 8<<20 || got.most < 2<<20 {
			t.Errorf("%.1f MiB were written at once, want several proposals, and 8 at most", float64(got.most)/(1<<20))
		}
	})
}

// TestProposalWaitsNoLongerThanItsCaller: it is not proposed when its turn comes
// after the caller has gone.
func TestProposalWaitsNoLongerThanItsCaller(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, m := b.T, b.members[0]
		propose(t, m, node("n1"))
		d := onHangingDisk(m)
		if err := m.AwaitLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.hang()
		refused := make(chan error, 60)
		for i := range 60 {
			go func() { refused <- m.Propose(t.Context(), large(i)) }()
		}
		began := time.Now()
		for range 60 {
			if err := <-refused; err == nil || time.Since(began) > 2*time.Second {
				t.Errorf("a proposal to a disk that hangs: %v after %v", err, time.Since(began))
			}
		}
		before := m.State().Index
		d.thaw()
		if err := m.AwaitLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		propose(t, m, node("n2"))
		if n := m.State().Index - before; n > 20 { // 16 were under way, and raft has entries of its own
			t.Errorf("%d entries came after callers had gone", n)
		}
	})
}
