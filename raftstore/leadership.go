package raftstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// leadership is what this member knows of its own.
type leadership struct {
	notify <-chan bool          // from raft, which waits when it is full
	terms  chan context.Context // the present term of leadership, when not taken yet

	mu      sync.Mutex
	term    uint64        // counts terms; 0 while not leading
	last    uint64        // highest term given
	changed chan struct{} // closed when term changes
}

func newLeadership(notify <-chan bool) leadership {
	return leadership{notify: notify, terms: make(chan context.Context, 1), changed: make(chan struct{})}
}

func (l *leadership) set(leading bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = 0
	if leading {
		l.last++
		l.term = l.last
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *leadership) get() (term uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.changed
}

// Leadership tells when this member leads: each context received stands for
// one term and is done when the term is. When it is received, State holds all
// that earlier leaders committed. The channel is closed when Run returns; a
// term that ended before it was received may be left out.
func (s *Store) Leadership() <-chan context.Context { return s.lead.terms }

// IsLeader reports whether this member leads and its State holds all that
// earlier leaders committed.
func (s *Store) IsLeader() bool {
	hangs, _ := s.stall.now()
	term, _ := s.lead.get()
	return term != 0 && !hangs
}

// AwaitLeadership waits until this member leads.
func (s *Store) AwaitLeadership(ctx context.Context) error {
	for {
		term, changed := s.lead.get()
		if term != 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait to become the leader: %w", context.Cause(ctx))
		}
	}
}

// Leader returns the member that leads as far as this one knows, or empty
// strings. A member whose disk hangs knows it too: it can still hand calls on.
func (s *Store) Leader() (id, addr string) {
	if id, addr, ok := s.link.leads(s.raft.CurrentTerm()); ok {
		return id, addr // raft does not get to that term until it is on the disk
	}
	a, i := s.raft.LeaderWithID()
	if hangs, _ := s.stall.now(); hangs && string(i) == s.id {
		return "", ""
	}
	return string(i), string(a)
}

// watchLeadership runs terms until ctx is done.
func (s *Store) watchLeadership(ctx context.Context) {
	defer close(s.lead.terms)
	end := func() {}
	for {
		select {
		case <-ctx.Done():
			s.lead.set(false)
			end()
			return
		case leading := <-s.lead.notify:
			// Lost and gained again is lost: who acts as leader starts anew.
			s.lead.set(false)
			end()
			if end = func() {}; leading {
				end = s.begin(ctx)
			}
		case <-s.stall.changed:
			s.lead.set(false)
			end()
			end = func() {}
			if hangs, _ := s.stall.now(); hangs {
				s.log.ErrorContext(ctx, "a write to the disk hangs: this manager leaves the lead to others", "for", maxWrite)
			} else if s.raft.State() == raft.Leader { // nobody else has taken it
				end = s.begin(ctx)
			}
		}
	}
}

// begin starts a term, and returns what ends it, once this member has applied all that came before it:
// who decides on an older state would do again what was done.
func (s *Store) begin(ctx context.Context) func() {
	if err := s.raft.Barrier(0).Error(); err != nil {
		// Leadership is lost again already, and raft is about to say so.
		s.log.DebugContext(ctx, "leadership lost at once", "err", err)
		return func() {}
	}
	s.log.InfoContext(ctx, "this manager leads", "node", s.id)
	term, cancel := context.WithCancel(ctx)
	select {
	case <-s.lead.terms: // over before it was taken
	default:
	}
	s.lead.set(true)
	s.lead.terms <- term
	return func() {
		cancel()
		s.log.InfoContext(ctx, "this manager leads no more", "node", s.id)
	}
}

// VerifyLeader asks a quorum whether this member still leads; nil means that
// it did when it was called.
func (s *Store) VerifyLeader(ctx context.Context) error {
	return s.call(ctx, "verify leadership", func(context.Context) error { return s.raft.VerifyLeader().Error() })
}

// TransferLeadership hands leadership to the voter that is most up to date.
func (s *Store) TransferLeadership(ctx context.Context) error {
	return s.call(ctx, "transfer leadership", func(context.Context) error { return s.raft.LeadershipTransfer().Error() })
}
