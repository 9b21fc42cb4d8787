package raftstore

import "sync"

// Kind names a table.
type Kind string

// The kinds of object a State holds.
const (
	KindCluster Kind = "cluster"
	KindSecrets Kind = "secrets"
	KindNode    Kind = "node"
	KindService Kind = "service"
	KindTask    Kind = "task"
)

// Ref names one object that changed. It carries no value: look it up in the
// State you hold, where it may have changed again or be gone.
type Ref struct {
	Kind Kind
	// ID is empty for the cluster and its secrets, of which there is one.
	ID string
	// Owner is the service a task belongs to, Node the node it is assigned
	// to. Both are empty for other kinds, and Node before the assignment.
	Owner, Node string
}

// Subscription collects the Refs changed since the last Take. It coalesces,
// so a slow reader costs at most two entries per object (a task before and
// after its assignment) and loses nothing.
type Subscription struct {
	// C receives when there is something to Take.
	C <-chan struct{}

	c     chan struct{}
	fsm   *FSM
	match func(Ref) bool

	mu    sync.Mutex
	dirty map[Ref]struct{}
}

// Subscribe is Store.Subscribe.
func (f *FSM) Subscribe() *Subscription {
	return f.SubscribeTo(func(Ref) bool { return true })
}

// SubscribeTo is Store.SubscribeTo.
func (f *FSM) SubscribeTo(match func(Ref) bool) *Subscription {
	c := make(chan struct{}, 1)
	s := &Subscription{C: c, c: c, fsm: f, match: match, dirty: make(map[Ref]struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs[s] = struct{}{}
	return s
}

// Take returns what changed. A State read afterwards includes those changes.
func (s *Subscription) Take() map[Ref]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	dirty := s.dirty
	s.dirty = make(map[Ref]struct{})
	return dirty
}

// Close stops collecting.
func (s *Subscription) Close() {
	s.fsm.mu.Lock()
	defer s.fsm.mu.Unlock()
	delete(s.fsm.subs, s)
}

func (f *FSM) publish(refs []Ref) {
	if len(refs) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		s.add(refs)
	}
}

func (s *Subscription) add(refs []Ref) {
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
