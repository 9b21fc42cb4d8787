package raftstore_test

import (
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"
)

// TestDiskIsFullWhileTheLogIsReplaced: a leader wrote what the others never
// got, and when they send it theirs instead, its disk is full. It follows once
// there is room, also after a restart.
func TestDiskIsFullWhileTheLogIsReplaced(t *testing.T) {
	run(t, 3, func(b *bubble) {
		t, ms := b.T, b.members
		m1 := ms[0]
		var full, refused atomic.Bool
		m1.stop()
		m1.config.WrapLog = func(l raft.LogStore) raft.LogStore {
			return refusingLog{fullLog{l, &full}, &refused}
		}
		m1.start()
		heal(ms)
		eventually(t, "m1 back in touch", func() bool { return leader(t, ms).Reachable()["m1"] })
		eventually(t, "m1 leading", func() bool {
			l := leader(t, ms)
			return l == m1 || l.TransferLeadership(t.Context()) == nil && leader(t, ms) == m1
		})
		propose(t, m1, node("before"))
		isolate(m1, ms[1:])
		if err := m1.Propose(t.Context(), node("alone")); err == nil {
			t.Error("it writes without the others")
		}
		propose(t, leader(t, ms[1:]), node("during"))
		full.Store(true)
		heal(ms)
		eventually(t, "m1 to be refused", refused.Load)
		full.Store(false)
		propose(t, leader(t, ms), node("after"))
		eventually(t, "m1 to follow", func() bool { return has(m1, "after") && has(m1, "during") && !has(m1, "alone") })
		m1.stop()
		m1.start()
		heal(ms)
		propose(t, leader(t, ms), node("late"))
		eventually(t, "m1 to follow after a restart", func() bool { return has(m1, "after") && has(m1, "late") })
	})
}

// refusingLog tells that something was not written after its place was cleared.
type refusingLog struct {
	fullLog
	refused *atomic.Bool
}

func (l refusingLog) DeleteRange(from, to uint64) error {
	l.refused.Store(l.full.Load())
	return l.fullLog.DeleteRange(from, to)
}
