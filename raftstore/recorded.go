package raftstore

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/muster/muster/raftstore/state"
)

// Recorded is the state that a member's disk holds, whether its last entries
// are known to be committed or not: what a manager can go by that no other
// manager answers, since [Store.State] has entries only once a quorum confirms
// them. Do not decide by it what the cluster does.
func Recorded(s *Store) (*state.State, error) {
	fsm := NewFSM()
	from, err := restoreNewest(fsm, s.disk.snapshots)
	if err != nil {
		return nil, err
	}
	last, err := s.disk.log.LastIndex()
	if err != nil {
		return nil, fmt.Errorf("read the raft log: %w", err)
	}
	for i := from + 1; i <= last; i++ {
		entry := new(raft.Log)
		if err := s.disk.log.GetLog(i, entry); err != nil {
			return nil, fmt.Errorf("read entry %d of the raft log: %w", i, err)
		}
		fsm.Apply(entry)
	}
	return fsm.State(), nil
}

// restoreNewest restores the newest snapshot, if there is one, and returns the
// index that it reaches to.
func restoreNewest(fsm *FSM, snapshots raft.SnapshotStore) (index uint64, err error) {
	metas, err := snapshots.List()
	if err != nil || len(metas) == 0 {
		return 0, err
	}
	meta, content, err := snapshots.Open(metas[0].ID)
	if err != nil {
		return 0, fmt.Errorf("open snapshot %s: %w", metas[0].ID, err)
	}
	defer content.Close()
	if err := fsm.Restore(content); err != nil {
		return 0, fmt.Errorf("read snapshot %s: %w", meta.ID, err)
	}
	return meta.Index, nil
}
