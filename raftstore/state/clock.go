package state

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	raftpb "github.com/muster/muster/proto/raft/v1"
)

// Each leader goes by its own clock, and where the last one's was ahead, what it
// wrote would not have happened yet: whoever waits for a while to pass since then
// would wait until the clock gets there. So a command that was proposed before
// the last one sets the clock back: every time that something waits by moves
// with it, and all that passed between them stays as it was. Times that are only
// shown stay as they were written.

// slack is by how much a command may be behind the last one and time just stands
// still: a leader's proposals overtake each other, and clocks that are kept right
// differ by less.
const slack = time.Second

// IsAhead reports whether the last command is so far ahead of now that the clock
// has to be set back.
func (s *State) IsAhead(now time.Time) bool { return s.Time.Sub(now) > slack }

// SetClock says nothing but what time it is.
func SetClock() *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_SetClock{SetClock: &raftpb.SetClock{}}}
}

// start makes now the time of tx, the command that follows s.
func start(tx *tx, s *State, now time.Time) {
	switch {
	case s.IsAhead(now):
		tx.now = now
		for _, t := range tx.tables() {
			t.setBack(tx, s.Time.Sub(now))
		}
	case now.Before(s.Time):
		tx.now = s.Time
	default:
		tx.now = now
	}
}

// setBack moves the times that the objects of the table wait by.
func (t *table[T]) setBack(tx *tx, by time.Duration) {
	if t.kind.setBack == nil {
		return
	}
	// Collected first, for the table must not be written while it is read.
	for _, old := range slices.Collect(t.all()) {
		v := t.kind.setBack(old, by)
		t.put(v)
		tell(tx, t.kind, v)
	}
}

// earlier moves times that are there.
func earlier(by time.Duration, times ...**timestamppb.Timestamp) {
	for _, at := range times {
		if *at != nil {
			*at = timestamppb.New((*at).AsTime().Add(-by))
		}
	}
}
