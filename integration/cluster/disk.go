package cluster

import (
	"github.com/hashicorp/raft"

	"github.com/muster/muster/raftstore"
)

// What raft keeps beside its log.
const (
	currentTerm       = "CurrentTerm"
	lastVoteTerm      = "LastVoteTerm"
	lastVoteCandidate = "LastVoteCand"
)

// survives returns a copy of what a disk holds now: what a manager that is
// killed has after its restart, while the one that was killed, whose
// goroutines take a moment to end, goes on with the original. Nobody may hear
// of that one any more when the copy is made: then everything that it told is
// in the copy.
func survives(m *raftstore.Memory) (*raftstore.Memory, error) {
	next := raftstore.NewMemory()
	next.Snapshots = m.Snapshots // the harness lets none be made
	for _, key := range []string{currentTerm, lastVoteTerm} {
		v, err := m.Log.GetUint64([]byte(key))
		if err != nil {
			return nil, err
		}
		if err := next.Log.SetUint64([]byte(key), v); err != nil {
			return nil, err
		}
	}
	if v, err := m.Log.Get([]byte(lastVoteCandidate)); err == nil {
		if err := next.Log.Set([]byte(lastVoteCandidate), v); err != nil {
			return nil, err
		}
	}
	return next, eachEntry(m, func(l *raft.Log) error { return next.Log.StoreLog(l) })
}

// eachEntry calls f with every entry of the log in order.
func eachEntry(m *raftstore.Memory, f func(*raft.Log) error) error {
	first, err := m.Log.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	last, err := m.Log.LastIndex()
	if err != nil {
		return err
	}
	for i := first; i <= last; i++ {
		l := new(raft.Log)
		if err := m.Log.GetLog(i, l); err != nil {
			return err
		}
		if err := f(l); err != nil {
			return err
		}
	}
	return nil
}
