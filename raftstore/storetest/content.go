package storetest

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/prototext"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// Snapshot returns the state's snapshot.
func Snapshot(t testing.TB, s *state.State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := state.WriteSnapshot(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Content writes every object of a state as text; index and time are left out.
func Content(t testing.TB, s *state.State) string {
	t.Helper()
	r := bytes.NewReader(Snapshot(t, s))
	var header raftpb.SnapshotHeader
	if err := protodelim.UnmarshalFrom(r, &header); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for r.Len() > 0 {
		var item raftpb.SnapshotItem
		if err := protodelim.UnmarshalFrom(r, &item); err != nil {
			t.Fatal(err)
		}
		text.WriteString(prototext.MarshalOptions{Multiline: false}.Format(&item) + "\n")
	}
	return text.String()
}
