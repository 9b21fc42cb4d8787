package raftstore

import (
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// measuredLog is a log that knows how many bytes its entries take. Raft counts
// entries, and one may be ten thousand times as large as another.
type measuredLog struct {
	raft.LogStore
	grown chan struct{} // receives after something was stored

	mu      sync.Mutex
	entries []entrySize // by index
	total   int
}

type entrySize struct {
	index uint64
	bytes int
}

// measure reads all of a log once.
func measure(log raft.LogStore) (*measuredLog, error) {
	l := &measuredLog{LogStore: log, grown: make(chan struct{}, 1)}
	first, err := log.FirstIndex()
	if err != nil {
		return nil, fmt.Errorf("read the raft log: %w", err)
	}
	last, err := log.LastIndex()
	if err != nil {
		return nil, fmt.Errorf("read the raft log: %w", err)
	}
	for i := max(first, 1); i <= last; i++ {
		var entry raft.Log
		// A snapshot that a leader sent leaves a gap before it. One that matters
		// raft finds itself.
		if log.GetLog(i, &entry) == nil {
			l.add(&entry)
		}
	}
	l.wake()
	return l, nil
}

func sizeOf(entry *raft.Log) int { return len(entry.Data) + len(entry.Extensions) }

// add counts an entry, which replaces those of its index and later ones.
func (l *measuredLog) add(entry *raft.Log) {
	for n := len(l.entries); n > 0 && l.entries[n-1].index >= entry.Index; n-- {
		l.total -= l.entries[n-1].bytes
		l.entries = l.entries[:n-1]
	}
	l.entries = append(l.entries, entrySize{entry.Index, sizeOf(entry)})
	l.total += sizeOf(entry)
}

func (l *measuredLog) wake() {
	select {
	case l.grown <- struct{}{}:
	default:
	}
}

// StoreLog implements raft.LogStore.
func (l *measuredLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore.
func (l *measuredLog) StoreLogs(entries []*raft.Log) error {
	if err := l.LogStore.StoreLogs(entries); err != nil {
		return err
	}
	l.mu.Lock()
	for _, e := range entries {
		l.add(e)
	}
	l.mu.Unlock()
	l.wake()
	return nil
}

// DeleteRange implements raft.LogStore.
func (l *measuredLog) DeleteRange(first, last uint64) error {
	if err := l.LogStore.DeleteRange(first, last); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.DeleteFunc(l.entries, func(e entrySize) bool {
		gone := first <= e.index && e.index <= last
		if gone {
			l.total -= e.bytes
		}
		return gone
	})
	return nil
}

// bytes returns what all entries take.
func (l *measuredLog) bytes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// newest returns how many of the newest entries take limit bytes at most, or
// atMost if they are more.
func (l *measuredLog) newest(limit int, atMost uint64) (n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total <= limit {
		return atMost
	}
	for _, e := range slices.Backward(l.entries) {
		if limit -= e.bytes; limit < 0 || n == atMost {
			break
		}
		n++
	}
	return n
}
