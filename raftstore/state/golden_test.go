package state_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

var update = flag.Bool("update", false, "write the golden files of the present format")

// Golden files of format 1: the log testdata/NAME.log.v1 gives the snapshot
// testdata/NAME.snapshot.v1. They are never written again once released: what
// is in them must be understood for ever. A new kind of object brings its own.
const (
	goldenLog      = ".log.v1"
	goldenSnapshot = ".snapshot.v1"
)

// commands makes a log of what each entry changes.
func commands(log [][]*raftpb.Change) (commands []*raftpb.Command) {
	for i, c := range log {
		cmd := &raftpb.Command{
			ProposedAt: timestamppb.New(storetest.Start().Add(time.Duration(i) * time.Second)),
			Changes:    c,
			RequestId:  strings.Repeat("r", i%3), // some have none, some are repeated
		}
		if cmd.GetRequestId() != "" {
			cmd.RequestId += string(rune('a' + i))
		}
		commands = append(commands, cmd)
	}
	return commands
}

func encode(t testing.TB, commands []*raftpb.Command) []byte {
	t.Helper()
	var log bytes.Buffer
	for _, cmd := range commands {
		if _, err := protodelim.MarshalTo(&log, cmd); err != nil {
			t.Fatal(err)
		}
	}
	return log.Bytes()
}

// restoreGolden returns the state of a golden snapshot, which its log must
// still give. With -update both are made anew from story.
func restoreGolden(t *testing.T, name string, story []*raftpb.Command) *state.State {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		log := encode(t, story)
		if err := errors.Join(os.WriteFile(path+goldenLog, log, 0o600), os.WriteFile(path+goldenSnapshot, storetest.Snapshot(t, replay(t, log)), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.ReadFile(path + goldenLog)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path + goldenSnapshot)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	restored, err := state.ReadSnapshot(f)
	if err != nil {
		t.Fatalf("a released snapshot cannot be read any more: %v", err)
	}
	if d := cmp.Diff(storetest.Content(t, restored), storetest.Content(t, replay(t, log))); d != "" {
		t.Errorf("a released log means something else now (-snapshot +replayed):\n%s", d)
	}
	return restored
}

// goldenFiles returns the files that end so, by name.
func goldenFiles(t *testing.T, end string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	paths, err := filepath.Glob(filepath.Join("testdata", "*"+end))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.Base(path), end)] = content
	}
	return files
}

// TestGoldenFilesAreWhole: what they lack may change its meaning unseen.
func TestGoldenFilesAreWhole(t *testing.T) {
	said := make(map[string]bool)
	note := func(m proto.Message) {
		r := m.ProtoReflect()
		said[string(r.WhichOneof(r.Descriptor().Oneofs().ByName("kind")).FullName())] = true
	}
	read := func(r *bytes.Reader, m proto.Message) {
		t.Helper()
		if err := protodelim.UnmarshalFrom(r, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, log := range goldenFiles(t, goldenLog) {
		for r := bytes.NewReader(log); r.Len() > 0; {
			cmd := new(raftpb.Command)
			read(r, cmd)
			for _, c := range cmd.GetChanges() {
				note(c)
			}
		}
	}
	for _, snapshot := range goldenFiles(t, goldenSnapshot) {
		r := bytes.NewReader(snapshot)
		read(r, new(raftpb.SnapshotHeader))
		for r.Len() > 0 {
			item := new(raftpb.SnapshotItem)
			read(r, item)
			note(item)
		}
	}
	for _, m := range []proto.Message{new(raftpb.Change), new(raftpb.SnapshotItem)} {
		kinds := m.ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
		for i := range kinds.Len() {
			if name := string(kinds.Get(i).FullName()); !said[name] {
				t.Errorf("no %s in testdata: its object's own test brings a golden log, see restoreGolden", name)
			}
		}
	}
}
