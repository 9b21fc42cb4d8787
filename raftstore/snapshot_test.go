package raftstore_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

func TestRefusedSnapshotLeavesTheState(t *testing.T) {
	whole := storetest.Snapshot(t, storetest.State(t, node("new")))
	for name, snapshot := range map[string][]byte{"none": []byte("\x02\xff\xff"), "torn": whole[:len(whole)-1]} {
		t.Run(name, func(t *testing.T) {
			f := raftstore.NewFSM()
			f.Apply(entry(t, 1, node("n9")))
			if err := f.Restore(io.NopCloser(bytes.NewReader(snapshot))); err == nil {
				t.Error("it was taken")
			}
			if _, ok := f.State().Node("n9"); !ok {
				t.Error("the state was lost to a snapshot that was refused")
			}
		})
	}
}

func TestRestoreWakesForWhatWasAndIs(t *testing.T) {
	f := raftstore.NewFSM()
	f.Apply(entry(t, 1, node("old")))
	sub := f.Subscribe()
	defer sub.Close()
	if err := f.Restore(io.NopCloser(bytes.NewReader(storetest.Snapshot(t, storetest.State(t, node("new")))))); err != nil {
		t.Fatal(err)
	}
	<-sub.C
	want := map[state.Ref]struct{}{{Kind: state.KindNode, ID: "old"}: {}, {Kind: state.KindNode, ID: "new"}: {}}
	if d := cmp.Diff(want, sub.Take()); d != "" {
		t.Errorf("taken (-want +got):\n%s", d)
	}
}

// fullDisk is a sink that cannot be written to.
type fullDisk struct {
	raft.SnapshotSink
	cancelled bool
}

func (*fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func (d *fullDisk) Cancel() error {
	d.cancelled = true
	return nil
}

func TestSnapshotThatCannotBeWrittenIsCancelled(t *testing.T) {
	f := raftstore.NewFSM()
	f.Apply(entry(t, 1, node("n1")))
	s, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	var d fullDisk
	if err := s.Persist(&d); err == nil || err.Error() != "write snapshot: no space left on device" || !d.cancelled {
		t.Errorf("err %v, cancelled %v", err, d.cancelled)
	}
}
