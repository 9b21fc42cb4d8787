package raftstore

import (
	"sync"

	"github.com/hashicorp/raft"
)

// What recentLog keeps at most.
const (
	recentEntries = 512
	recentBytes   = 8 << 20
)

// recentLog keeps the newest entries of a log in memory too: the state machine
// and the sender to each follower read them right after they were stored.
type recentLog struct {
	raft.LogStore

	mu      sync.RWMutex
	entries []*raft.Log // one index after the other
	bytes   int
}

// GetLog implements raft.LogStore.
func (l *recentLog) GetLog(index uint64, entry *raft.Log) error {
	if kept := l.get(index); kept != nil {
		*entry = *kept
		return nil
	}
	return l.LogStore.GetLog(index, entry)
}

func (l *recentLog) get(index uint64) *raft.Log {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.entries) == 0 || index < l.entries[0].Index || index-l.entries[0].Index >= uint64(len(l.entries)) {
		return nil
	}
	return l.entries[index-l.entries[0].Index]
}

// StoreLog implements raft.LogStore.
func (l *recentLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore.
func (l *recentLog) StoreLogs(entries []*raft.Log) error {
	if err := l.LogStore.StoreLogs(entries); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if n := len(l.entries); n > 0 && l.entries[n-1].Index+1 != e.Index {
			l.entries, l.bytes = nil, 0
		}
		l.entries = append(l.entries, e)
		l.bytes += sizeOf(e)
	}
	for len(l.entries) > recentEntries || l.bytes > recentBytes {
		l.bytes -= sizeOf(l.entries[0])
		l.entries[0] = nil
		l.entries = l.entries[1:]
	}
	return nil
}

// DeleteRange implements raft.LogStore.
func (l *recentLog) DeleteRange(first, last uint64) error {
	l.mu.Lock()
	l.entries, l.bytes = nil, 0
	l.mu.Unlock()
	return l.LogStore.DeleteRange(first, last)
}
