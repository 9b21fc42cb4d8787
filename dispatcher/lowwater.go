package dispatcher

import (
	"time"

	"github.com/muster/muster/dispatcher/lease"
)

// raiseLowWaterMark computes the low-water mark and wakes the sessions with
// tasks that wait for it. Within a term it never falls: a node that comes back
// later has no part in what was dropped before.
func (t *term) raiseLowWaterMark(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mark := t.leases.LowWaterMark(index, time.Now(), func(id string) (uint64, bool) {
		if s := t.byNode[id]; s != nil {
			return s.at(index)
		}
		return 0, false
	})
	if mark <= t.lowWater {
		return
	}
	t.lowWater = mark
	for _, s := range t.byNode {
		s.mu.Lock()
		owes := lease.Owes(s.awaited, s.lowWaterSent, mark)
		s.due.lowWater = s.due.lowWater || owes
		s.mu.Unlock()
		if owes {
			wake(s.wake)
		}
	}
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

func (t *term) currentLowWaterMark() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lowWater
}
