package raftstore

import (
	"testing"

	"github.com/hashicorp/raft"
)

// entriesOf makes entries from index on, of so many bytes each.
func entriesOf(index uint64, sizes ...int) (entries []*raft.Log) {
	for i, n := range sizes {
		entries = append(entries, &raft.Log{Index: index + uint64(i), Data: make([]byte, n)})
	}
	return entries
}

func store(t *testing.T, l raft.LogStore, entries []*raft.Log) {
	t.Helper()
	if err := l.StoreLogs(entries); err != nil {
		t.Fatal(err)
	}
}

func TestMeasuredLog(t *testing.T) {
	disk := raft.NewInmemStore()
	store(t, disk, entriesOf(1, 10, 20))
	l, err := measure(disk)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(when string, total int, newest map[int]uint64) {
		t.Helper()
		if got := l.bytes(); got != total {
			t.Errorf("%s: %d bytes, want %d", when, got, total)
		}
		for limit, want := range newest {
			if got := l.newest(limit, 100); got != want {
				t.Errorf("%s: the newest %d fit %d bytes, want %d", when, got, limit, want)
			}
		}
	}
	expect("as it was found", 30, map[int]uint64{30: 100, 29: 1, 19: 0})
	store(t, l, entriesOf(3, 30, 40))
	expect("stored", 100, map[int]uint64{100: 100, 90: 3, 89: 2, 40: 1})
	if err := l.DeleteRange(1, 2); err != nil {
		t.Fatal(err)
	}
	expect("compacted", 70, map[int]uint64{70: 100, 69: 1})
	store(t, l, entriesOf(4, 5))
	expect("replaced", 35, map[int]uint64{34: 1})
	store(t, l, entriesOf(90, 7)) // behind a snapshot that a leader sent
	expect("after a gap", 42, map[int]uint64{12: 2, 11: 1})
	if got := l.newest(41, 2); got != 2 {
		t.Errorf("%d entries stay, want 2 at most", got)
	}
}

func TestRecentLog(t *testing.T) {
	disk := raft.NewInmemStore()
	l := &recentLog{LogStore: disk}
	kept := func() (n int) {
		t.Helper()
		for i := range uint64(2000) {
			var got raft.Log
			if e := l.get(i); e != nil {
				n++
				if err := l.GetLog(i, &got); err != nil || got.Index != i {
					t.Errorf("entry %d is %d, %v", i, got.Index, err)
				}
			}
		}
		return n
	}
	for i := range uint64(1000) {
		store(t, l, entriesOf(i+1, 1))
	}
	if n := kept(); n != recentEntries {
		t.Errorf("%d small entries are kept, want %d", n, recentEntries)
	}
	for i := range uint64(100) {
		store(t, l, entriesOf(1001+i, 1<<20))
	}
	if n := kept(); n != recentBytes>>20 {
		t.Errorf("%d entries of 1 MiB are kept, want %d", n, recentBytes>>20)
	}
	store(t, l, entriesOf(1101, recentBytes+1))
	if n := kept(); n != 0 {
		t.Errorf("%d entries are kept beside one that is too large", n)
	}
	store(t, l, entriesOf(1102, 1, 1))
	store(t, l, entriesOf(1500, 1))
	if n := kept(); n != 1 {
		t.Errorf("%d entries are kept after a gap, want 1", n)
	}
	if err := l.DeleteRange(1500, 1500); err != nil {
		t.Fatal(err)
	}
	if n := kept(); n != 0 {
		t.Errorf("%d entries are kept that may be gone", n)
	}
	var got raft.Log
	if err := l.GetLog(1102, &got); err != nil || got.Index != 1102 {
		t.Errorf("an older entry: %d, %v", got.Index, err)
	}
}
