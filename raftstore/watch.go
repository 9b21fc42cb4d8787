package raftstore

import (
	"sync"

	"github.com/muster/muster/raftstore/state"
)

// Subscription collects the Refs changed since the last Take. It coalesces,
// so a slow reader costs at most two entries per object (a task before and
// after its assignment) and loses nothing.
type Subscription struct {
	// C receives when there is something to Take.
	C <-chan struct{}

	c     chan struct{}
	fsm   *FSM
	match func(state.Ref) bool

	mu    sync.Mutex
	dirty map[state.Ref]struct{}
}

// Subscribe is Store.Subscribe.
func (f *FSM) Subscribe() *Subscription {
	return f.SubscribeTo(func(state.Ref) bool { return true })
}

// SubscribeTo is Store.SubscribeTo.
func (f *FSM) SubscribeTo(match func(state.Ref) bool) *Subscription {
	c := make(chan struct{}, 1)
	s := &Subscription{C: c, c: c, fsm: f, match: match, dirty: make(map[state.Ref]struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs[s] = struct{}{}
	return s
}

// Take returns what changed. A State read afterwards includes those changes.
func (s *Subscription) Take() map[state.Ref]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	dirty := s.dirty
	s.dirty = make(map[state.Ref]struct{})
	return dirty
}

// Close stops collecting.
func (s *Subscription) Close() {
	s.fsm.mu.Lock()
	defer s.fsm.mu.Unlock()
	delete(s.fsm.subs, s)
}

func (f *FSM) publish(refs []state.Ref) {
	if len(refs) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		s.add(refs)
	}
}

func (s *Subscription) add(refs []state.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range refs {
		if s.match(r) {
			s.dirty[r] = struct{}{}
		}
	}
	if len(s.dirty) == 0 {
		return
	}
	select {
	case s.c <- struct{}{}:
	default: // a wake-up is already pending
	}
}
