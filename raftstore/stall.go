package raftstore

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// maxWrite is how long a leader may take to write its log. A disk that hangs
// stops raft's main loop and nothing else: heartbeats go on, so that nobody
// stands for election, while no write gets through.
const maxWrite = 1250 * time.Millisecond

var errStalled = errors.New("the disk of this manager has not written for " + maxWrite.String() + ": it does not lead until it does")

// watchedLog is a log that notices when a write hangs.
type watchedLog struct {
	raft.LogStore
	stall *stall
}

// StoreLog implements raft.LogStore.
func (l watchedLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore.
func (l watchedLog) StoreLogs(entries []*raft.Log) error {
	defer l.stall.watch()()
	return l.LogStore.StoreLogs(entries)
}

// stall is whether the disk hangs.
type stall struct {
	mu      sync.Mutex
	hangs   bool
	began   chan struct{} // closed while it hangs
	changed chan struct{} // receives after it begins and after it ends
}

func newStall() *stall {
	return &stall{began: make(chan struct{}), changed: make(chan struct{}, 1)}
}

// watch is called before a write; what it returns, after it.
func (s *stall) watch() (done func()) {
	timer := time.AfterFunc(maxWrite, func() { s.set(true) })
	return func() {
		timer.Stop()
		s.set(false)
	}
}

func (s *stall) set(hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs == hangs {
		return
	}
	if s.hangs = hangs; hangs {
		close(s.began)
	} else {
		s.began = make(chan struct{})
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// now reports whether the disk hangs, and returns what is closed when it does.
func (s *stall) now() (hangs bool, began <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hangs, s.began
}
