package dispatcher

import (
	"time"

	"github.com/muster/muster/dispatcher/lease"
)

// raiseLowWaterMark computes the low-water mark and wakes the sessions with
// tasks that wait for it. Within a term it never falls: a node that comes back
// later has no part in what was dropped before.
func (r *roster) raiseLowWaterMark(index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mark := r.leases.LowWaterMark(index, time.Now(), func(id string) (uint64, bool) {
		if s := r.byNode[id]; s != nil {
			return s.at(index)
		}
		return 0, false
	})
	if mark <= r.lowWater {
		return
	}
	r.lowWater = mark
	close(r.risen)
	r.risen = make(chan struct{})
	for _, s := range r.byNode {
		s.mu.Lock()
		owes := lease.Owes(s.awaited, s.lowWaterSent, mark)
		s.due.lowWater = s.due.lowWater || owes
		s.mu.Unlock()
		if owes {
			wake(s.wake)
		}
	}
}

// currentLowWaterMark returns the low-water mark and what is closed when it
// rises.
func (r *roster) currentLowWaterMark() (mark uint64, risen <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lowWater, r.risen
}

// LowWaterMark returns the lowest index of the state that the kernels of all
// live nodes hold, and what is closed when it rises. While another manager
// leads, it is 0 and does not rise.
func (s *Server) LowWaterMark() (mark uint64, risen <-chan struct{}) {
	if t := s.leading(); t != nil {
		return t.nodes.currentLowWaterMark()
	}
	return 0, nil
}

// at returns the index that the node's kernel is known to hold, given that
// the session was told of everything up to index that concerns it; false
// before the node acknowledged anything in this session.
func (s *session) at(index uint64) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.due.tasks && !s.due.shared && !s.working && s.sent > 0 && s.acked >= s.sent {
		return index, true
	}
	return s.acked, s.acked > 0
}
