package raftstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/raft"
)

// hangingLog is a log on a disk that may stand still.
type hangingLog struct {
	raft.LogStore
	disk *hangingDisk
}

type hangingDisk struct {
	mu sync.Mutex
	ok chan struct{} // closed while it works
}

func (d *hangingDisk) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ok = make(chan struct{})
}

func (d *hangingDisk) thaw() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.ok)
}

// wait returns when the disk works.
func (d *hangingDisk) wait() {
	d.mu.Lock()
	ok := d.ok
	d.mu.Unlock()
	<-ok
}

func (l hangingLog) StoreLogs(logs []*raft.Log) error {
	l.disk.wait()
	return l.LogStore.StoreLogs(logs)
}

func (l hangingLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// hangingStable is what raft keeps beside the log on such a disk.
type hangingStable struct {
	raft.StableStore
	disk *hangingDisk
}

func (s hangingStable) Set(key, val []byte) error {
	s.disk.wait()
	return s.StableStore.Set(key, val)
}

func (s hangingStable) SetUint64(key []byte, val uint64) error {
	s.disk.wait()
	return s.StableStore.SetUint64(key, val)
}

// onHangingDisk restarts a member on a disk that can be made to hang.
func onHangingDisk(m *member) *hangingDisk {
	d := &hangingDisk{}
	d.hang()
	d.thaw()
	m.stop()
	m.config.WrapLog = func(l raft.LogStore) raft.LogStore { return hangingLog{l, d} }
	m.config.WrapStable = func(s raft.StableStore) raft.StableStore { return hangingStable{s, d} }
	m.start()
	return d
}

// TestLeaderWhoseDiskHangs: others lead within the bound, callers are told,
// nothing acknowledged is lost, and the leader that was comes back.
func TestLeaderWhoseDiskHangs(t *testing.T) {
	run(t, 3, func(b *bubble) {
		t, ms := b.T, b.members
		disk := onHangingDisk(ms[0])
		heal(ms)
		eventually(t, "m1 back in touch", func() bool { return leader(t, ms).Reachable()["m1"] })
		if l := leader(t, ms); l != ms[0] {
			eventually(t, "m1 leading", func() bool {
				return leader(t, ms).TransferLeadership(t.Context()) == nil && leader(t, ms) == ms[0]
			})
		}
		propose(t, ms[0], node("before"))
		disk.hang()
		began := time.Now()
		err := ms[0].Propose(t.Context(), node("during"))
		if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "has not written") || time.Since(began) > 2*time.Second {
			t.Errorf("after %s a write is told: %v", time.Since(began), err)
		}
		if ms[0].IsLeader() {
			t.Error("it takes itself for the leader")
		}
		next := leader(t, ms[1:])
		propose(t, next, node("after"))
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the next write took %s", took)
		}
		time.Sleep(time.Minute)
		if err := ms[0].Propose(t.Context(), node("late")); !errdefs.IsUnavailable(err) {
			t.Errorf("a write on the disk that hangs: %v", err)
		}
		disk.thaw()
		eventually(t, "m1 to catch up", func() bool { return has(ms[0], "after") && has(ms[0], "before") })
		for i := range 5 {
			propose(t, leader(t, ms), node(fmt.Sprintf("thawed%d", i)))
		}
	})
}

// TestLoneMemberWhoseDiskHangs leads again once it writes.
func TestLoneMemberWhoseDiskHangs(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		disk := onHangingDisk(ms[0])
		if err := ms[0].AwaitLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		disk.hang()
		if err := ms[0].Propose(t.Context(), node("during")); !errdefs.IsUnavailable(err) {
			t.Errorf("a write is told: %v", err)
		}
		disk.thaw()
		eventually(t, "it to lead again", ms[0].IsLeader)
		propose(t, ms[0], node("after"))
	})
}

// TestOutcomeUnknown: who stops waiting is told that it may have happened.
func TestOutcomeUnknown(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		disk := onHangingDisk(ms[0])
		if err := ms[0].AwaitLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		disk.hang()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := ms[0].Propose(ctx, node("during")); !errdefs.IsUnavailable(err) {
			t.Errorf("who waits 100 ms is told: %v", err)
		}
		disk.thaw()
		eventually(t, "the write", func() bool { return has(ms[0], "during") })
	})
}
