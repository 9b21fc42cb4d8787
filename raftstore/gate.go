package raftstore

import (
	"sync"
	"time"
)

// gate counts the calls into raft that are under way. Raft leaves some of them
// unanswered when it stops, so it must not stop before they are done.
type gate struct {
	mu     sync.Mutex
	closed bool
	calls  int
	empty  chan struct{} // made by close, closed once no call is left
}

// enter reports whether a call may start; if so, leave must follow.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.calls++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls--
	if g.calls == 0 && g.empty != nil {
		close(g.empty)
	}
}

// close lets no further call in and reports whether those under way ended in
// time.
func (g *gate) close(timeout time.Duration) bool {
	g.mu.Lock()
	g.closed = true
	g.empty = make(chan struct{})
	if g.calls == 0 {
		close(g.empty)
	}
	g.mu.Unlock()

	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-g.empty:
		return true
	case <-timer.C:
		return false
	}
}
