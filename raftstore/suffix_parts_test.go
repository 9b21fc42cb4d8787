package raftstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"
)

// fullStore is a log that takes nothing while it is full.
type fullStore struct {
	*raft.InmemStore
	full bool
}

func (s *fullStore) StoreLogs(entries []*raft.Log) error {
	if s.full {
		return errors.New("no space left on device")
	}
	return s.InmemStore.StoreLogs(entries)
}

// logs makes entries of a term.
func logs(term, first, last uint64) (all []*raft.Log) {
	for i := first; i <= last; i++ {
		all = append(all, &raft.Log{Index: i, Term: term})
	}
	return all
}

// has returns the log as TERM:INDEX for each entry, up to the last.
func has(t *testing.T, l raft.LogStore) (all string) {
	t.Helper()
	first, err := l.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := l.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for i := first; i <= last; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil || e.Index != i {
			t.Fatalf("entry %d: %d, %v", i, e.Index, err)
		}
		all += fmt.Sprintf(" %d:%d", e.Term, e.Index)
	}
	return all
}

// TestSuffix: what is to be replaced stays until it is, whatever comes next;
// the disk never has a hole, nor an older entry behind a newer one.
func TestSuffix(t *testing.T) {
	tests := []struct {
		name         string
		next         func(l *suffixLog) error
		log, written string
	}{
		{"nothing", func(*suffixLog) error { return nil }, " 1:1 1:2 1:3 1:4 1:5", " 1:1 1:2 1:3"},
		{"replaced", func(l *suffixLog) error { return l.StoreLogs(logs(2, 4, 4)) }, " 1:1 1:2 1:3 2:4", " 1:1 1:2 1:3 2:4"},
		{"replaced in part", func(l *suffixLog) error { return l.StoreLogs(logs(2, 5, 6)) }, " 1:1 1:2 1:3 1:4 2:5 2:6", " 1:1 1:2 1:3 1:4 2:5 2:6"},
		{"led on", func(l *suffixLog) error { return l.StoreLog(logs(3, 6, 6)[0]) }, " 1:1 1:2 1:3 1:4 1:5 3:6", " 1:1 1:2 1:3 1:4 1:5 3:6"},
		{"cleared again", func(l *suffixLog) error { return l.DeleteRange(5, 5) }, " 1:1 1:2 1:3 1:4 1:5", " 1:1 1:2 1:3"},
		{
			"cleared further",
			func(l *suffixLog) error { return errors.Join(l.DeleteRange(3, 5), l.StoreLogs(logs(2, 3, 3))) },
			" 1:1 1:2 2:3", " 1:1 1:2 2:3",
		},
		{"compacted", func(l *suffixLog) error { return l.DeleteRange(1, 2) }, " 1:3 1:4 1:5", " 1:3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			disk := &fullStore{InmemStore: raft.NewInmemStore()}
			l := &suffixLog{LogStore: disk}
			if err := errors.Join(l.StoreLogs(logs(1, 1, 5)), l.DeleteRange(4, 5)); err != nil {
				t.Fatal(err)
			}
			disk.full = true
			if err := l.StoreLogs(logs(2, 4, 4)); err == nil {
				t.Fatal("a full disk takes something")
			}
			disk.full = false
			if err := tt.next(l); err != nil {
				t.Fatal(err)
			}
			if got := has(t, l); got != tt.log {
				t.Errorf("the log is%s, want%s", got, tt.log)
			}
			if got := has(t, disk); got != tt.written {
				t.Errorf("on the disk is%s, want%s", got, tt.written)
			}
		})
	}
}
