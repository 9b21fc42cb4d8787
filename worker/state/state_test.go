package state

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/testing/protocmp"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
)

func open(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func assigned(id string, desiredIndex uint64) *dispatchpb.TaskAssignment {
	return &dispatchpb.TaskAssignment{
		Task:    &clusterpb.Task{Id: id, DesiredIndex: desiredIndex},
		Sources: []*dispatchpb.ImageSource{{Image: "web", Digest: "sha256:1", Addrs: []string{"n2:2377"}}},
	}
}

func TestSurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker.db")
	db := open(t, path)
	steps := []*dispatchpb.Assignments{
		{
			Full:     true,
			Tasks:    []*dispatchpb.TaskAssignment{assigned("a", 0), assigned("b", 0)},
			Peers:    []*dispatchpb.Peer{{Id: "n1"}, {Id: "n2"}},
			Ports:    []*dispatchpb.MeshPort{{Protocol: 1, Published: 80}, {Protocol: 1, Published: 9000}},
			Settings: &dispatchpb.Settings{SelfIndex: 1},
		},
		{
			Tasks: []*dispatchpb.TaskAssignment{assigned("b", 7), assigned("c", 0)}, GoneTasks: []string{"a"},
			GonePeers: []string{"n1"},
			Ports:     []*dispatchpb.MeshPort{{Protocol: 1, Published: 80, ServiceId: "web"}},
			GonePorts: []*dispatchpb.MeshPort{{Protocol: 1, Published: 9000}},
			Settings:  &dispatchpb.Settings{SelfIndex: 2},
		},
	}
	for _, a := range steps {
		if err := db.Apply(a); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"b", "c"} {
		if err := db.SaveStatus(id, &clusterpb.TaskStatus{State: lifecycle.Running}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Forget("c"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	db = open(t, path)
	defer func() { _ = db.Close() }()
	got, err := db.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := &Saved{
		Tasks:    map[string]*dispatchpb.TaskAssignment{"b": assigned("b", 7)},
		Statuses: map[string]*clusterpb.TaskStatus{"b": {State: lifecycle.Running}},
		Peers:    []*dispatchpb.Peer{{Id: "n2"}},
		Ports:    []*dispatchpb.MeshPort{{Protocol: 1, Published: 80, ServiceId: "web"}},
		Settings: &dispatchpb.Settings{SelfIndex: 2},
	}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("loaded state (-want +got):\n%s", d)
	}

	// A full set leaves nothing of what was.
	if err := db.Apply(&dispatchpb.Assignments{Full: true, Tasks: []*dispatchpb.TaskAssignment{assigned("z", 0)}}); err != nil {
		t.Fatal(err)
	}
	if got, err = db.Load(); err != nil {
		t.Fatal(err)
	}
	if len(got.Tasks) != 1 || len(got.Peers) != 0 || len(got.Ports) != 0 {
		t.Errorf("after a full set: %d tasks, %d peers, %d ports, want 1, 0, 0", len(got.Tasks), len(got.Peers), len(got.Ports))
	}
}

func TestOpenRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker.db")
	db := open(t, path)
	if _, err := Open(path); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("open a file in use: %v, want failed precondition", err)
	}
	err := db.bolt.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFormat), []byte{0, 0, 0, 99})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("open a newer format: %v, want failed precondition", err)
	}
}

func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker.db")
	db := open(t, path)
	if err := errors.Join(db.Apply(&dispatchpb.Assignments{Full: true, Tasks: []*dispatchpb.TaskAssignment{assigned("a", 0)}}), db.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	garbled := func(from, to int) []byte {
		b := slices.Clone(whole)
		for i := from; i < min(to, len(b)); i++ {
			b[i] = 0xA5
		}
		return b
	}
	page := os.Getpagesize()
	tests := map[string][]byte{
		"cut off in the first page": whole[:100],
		"cut off later":             whole[:2*page],
		"garbled head":              garbled(0, 2*page),
		"garbled pages":             garbled(2*page, len(whole)),
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := Open(path)
			if err == nil {
				_ = db.Close()
			}
			if !errdefs.IsDataLoss(err) || !strings.Contains(err.Error(), "remove it") {
				t.Errorf("Open = %v, want data loss and what to do", err)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none", "worker.db")); err == nil || errdefs.IsDataLoss(err) {
		t.Errorf("a file that cannot be opened: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Close(); err != nil { // a disk that was full left it empty
		t.Error(err)
	}
}
