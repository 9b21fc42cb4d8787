package state

import (
	"errors"
	"iter"
	"time"

	raftpb "github.com/muster/muster/proto/raft/v1"
)

// State is the whole cluster after one log entry. It is immutable, and so are
// the objects it hands out: clone before changing one.
type State struct {
	// Index of the last command in it; 0 before the first.
	Index uint64
	// Time is when the leader proposed that command, by the leader's clock. It steps
	// back when that clock is behind the last one's, and what waits steps with it.
	Time time.Time

	objects
}

// NewState returns the state before the first command.
func NewState() *State { return &State{objects: newObjects()} }

// Refs names every object.
func (s *State) Refs() []Ref {
	var refs []Ref
	for _, t := range s.tables() {
		for r := range t.refs() {
			refs = append(refs, r)
		}
	}
	return refs
}

// items yields every object as snapshots hold it.
func (s *State) items() iter.Seq[*raftpb.SnapshotItem] {
	return func(yield func(*raftpb.SnapshotItem) bool) {
		for _, t := range s.tables() {
			for item := range t.items() {
				if !yield(item) {
					return
				}
			}
		}
	}
}

// tx builds the State that follows another by one command.
type tx struct {
	index uint64
	now   time.Time // when the command was proposed, not when it is applied: no time before was later

	objects

	touched []Ref  // what differs, by the command or by the clock
	changed bool   // the command changed something
	answer  string // the id that the command is answered with
}

func (s *State) begin(index uint64, now time.Time) *tx {
	tx := &tx{index: index, objects: s.objects}
	for _, t := range tx.tables() {
		t.begin()
	}
	start(tx, s, now)
	return tx
}

func (tx *tx) commit() *State {
	for _, t := range tx.tables() {
		t.commit()
	}
	return &State{Index: tx.index, Time: tx.now, objects: tx.objects}
}

// restore puts one object back as it was.
func (tx *tx) restore(item *raftpb.SnapshotItem) error {
	for _, t := range tx.tables() {
		if ok, err := t.take(tx, item); ok {
			return err
		}
	}
	// Dropping it would make this replica differ from the others.
	return errors.New("an object of a kind that this version of muster does not know")
}
