package raftstore

import (
	"sync"

	"github.com/hashicorp/raft"
)

// suffixLog keeps entries that raft takes off the end of the log until others
// are written in their place. When that fails, as on a full disk, raft takes
// them for being there still: it would follow no leader any more, since it does
// not find them, and leave a hole in the log if it led.
type suffixLog struct {
	raft.LogStore

	mu   sync.Mutex
	gone []*raft.Log // not on the disk any more, in the order of the log
}

// taken returns the entries that are gone.
func (l *suffixLog) taken() []*raft.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}

func (l *suffixLog) take(entries []*raft.Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = entries
}

// LastIndex implements raft.LogStore.
func (l *suffixLog) LastIndex() (uint64, error) {
	if gone := l.taken(); len(gone) > 0 {
		return gone[len(gone)-1].Index, nil
	}
	return l.LogStore.LastIndex()
}

// GetLog implements raft.LogStore.
func (l *suffixLog) GetLog(index uint64, entry *raft.Log) error {
	for _, e := range l.taken() {
		if e.Index == index {
			*entry = *e
			return nil
		}
	}
	return l.LogStore.GetLog(index, entry)
}

// StoreLog implements raft.LogStore.
func (l *suffixLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore.
func (l *suffixLog) StoreLogs(entries []*raft.Log) error {
	gone := l.taken()
	if len(gone) == 0 || len(entries) == 0 {
		return l.LogStore.StoreLogs(entries)
	}
	// What they do not replace is part of the log again.
	if err := l.LogStore.StoreLogs(append(before(gone, entries[0].Index), entries...)); err != nil {
		return err
	}
	l.take(nil)
	return nil
}

// DeleteRange implements raft.LogStore. Entries at the beginning are deleted
// when a snapshot holds them, those at the end to be replaced.
func (l *suffixLog) DeleteRange(from, to uint64) error {
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	last, err := l.LogStore.LastIndex()
	if err != nil {
		return err
	}
	gone := l.taken()
	switch {
	case from <= first || len(gone) == 0 && to < last:
		return l.LogStore.DeleteRange(from, to)
	case from > last: // they are gone already
		return nil
	}
	var more []*raft.Log
	for i := from; i <= last; i++ {
		e := &raft.Log{}
		if err := l.LogStore.GetLog(i, e); err != nil {
			return err
		}
		more = append(more, e)
	}
	l.take(append(more, gone...))
	return l.LogStore.DeleteRange(from, last)
}

// before returns a copy of the first entries, up to that index.
func before(entries []*raft.Log, index uint64) (first []*raft.Log) {
	for _, e := range entries {
		if e.Index < index {
			first = append(first, e)
		}
	}
	return first
}
