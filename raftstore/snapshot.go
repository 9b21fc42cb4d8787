package raftstore

import (
	"errors"
	"io"

	"github.com/hashicorp/raft"

	"github.com/muster/muster/raftstore/state"
)

// Snapshot captures the current State; it is immutable, so this is free.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) { return snapshot{f.State()}, nil }

// Restore replaces the state by a snapshot's. A snapshot that is torn, of
// another format or not one at all is refused and the state stays.
func (f *FSM) Restore(from io.ReadCloser) error {
	next, err := state.ReadSnapshot(from)
	if err != nil {
		return err
	}
	old := f.state.Swap(next)
	// Whatever was or is there may differ; readers look it up anyhow.
	f.publish(append(old.Refs(), next.Refs()...))
	return nil
}

type snapshot struct{ state *state.State }

// Persist writes the snapshot and closes the sink, or cancels it.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := state.WriteSnapshot(sink, s.state); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release does nothing: the state is garbage once nobody holds it.
func (snapshot) Release() {}
