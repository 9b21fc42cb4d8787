package raftstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// restart stops a member and starts it on the directory it has.
func restart(t testing.TB, m *member) {
	t.Helper()
	m.stop()
	m.start()
	if err := m.AwaitLeadership(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		m := ms[0]
		for i := range 20 {
			propose(t, m, node(fmt.Sprintf("n%d", i)))
		}
		want := storetest.Content(t, m.State())
		restart(t, m)
		if got := storetest.Content(t, m.State()); got != want {
			t.Errorf("after the restart:\n%s\nwant\n%s", got, want)
		}
		propose(t, m, node("more"))
	})
}

func TestRequestsAreKnownAfterRestartAndSnapshot(t *testing.T) {
	for name, threshold := range map[string]uint64{"from the log": 0, "from a snapshot": 10} {
		t.Run(name, func(t *testing.T) {
			run(t, 1, func(b *bubble) {
				t, ms := b.T, b.members
				m := ms[0]
				m.config.SnapshotThreshold, m.config.SnapshotInterval, m.config.TrailingLogs = threshold, time.Second, 1
				restart(t, m)
				if _, err := m.ProposeRequest(t.Context(), state.Request{ID: "r1"}, service("s1")); err != nil {
					t.Fatal(err)
				}
				if _, err := m.ProposeRequest(t.Context(), state.Request{ID: "r2"}, service("s2")); !errdefs.IsAlreadyExists(err) {
					t.Fatal(err)
				}
				for i := range 20 {
					propose(t, m, node(fmt.Sprintf("n%d", i)))
				}
				time.Sleep(10 * time.Second)
				found, err := filepath.Glob(filepath.Join(m.config.Dir, "snapshots", "*", "state.bin"))
				if err != nil || (len(found) > 0) != (threshold > 0) {
					t.Fatalf("snapshots %v, %v", found, err)
				}
				restart(t, m)
				if id, err := m.ProposeRequest(t.Context(), state.Request{ID: "r1"}, service("s1")); err != nil || id != "s1" {
					t.Errorf("r1 again: %q, %v", id, err)
				}
				if _, err := m.ProposeRequest(t.Context(), state.Request{ID: "r2"}, service("s2")); err == nil ||
					err.Error() != `a service named "web" exists already` {
					t.Errorf("r2 again: %v", err)
				}
			})
		})
	}
}

// TestKilledBetweenAppendAndApply finds an entry in the log that was appended
// and neither applied nor answered when the process was killed.
func TestKilledBetweenAppendAndApply(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		m := ms[0]
		propose(t, m, node("a"))
		m.stop()

		log, err := raftboltdb.NewBoltStore(filepath.Join(m.config.Dir, "raft.db"))
		if err != nil {
			t.Fatal(err)
		}
		last, err := log.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		var prev raft.Log
		if err := log.GetLog(last, &prev); err != nil {
			t.Fatal(err)
		}
		data, err := proto.Marshal(&raftpb.Command{ProposedAt: timestamppb.Now(), RequestId: "r1", Changes: []*raftpb.Change{service("s1")}})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(log.StoreLog(&raft.Log{Index: last + 1, Term: prev.Term, Type: raft.LogCommand, Data: data}), log.Close()); err != nil {
			t.Fatal(err)
		}

		m.start()
		if err := m.AwaitLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Who leads has applied it, and the user who tries again learns so.
		if _, ok := m.State().Service("s1"); !ok || !has(m, "a") {
			t.Error("an entry of the log was not applied")
		}
		if id, err := m.ProposeRequest(t.Context(), state.Request{ID: "r1"}, service("s1")); err != nil || id != "s1" {
			t.Errorf("retry: %q, %v", id, err)
		}
	})
}

// open opens a directory and expects that it is refused with all of texts.
func refused(t *testing.T, m *member, texts ...string) {
	t.Helper()
	_, link := raft.NewInmemTransport("m1")
	m.config.Transport = link
	s, err := raftstore.Open(t.Context(), m.config)
	if err == nil {
		m.Store = s
		t.Fatal("opened")
	}
	for _, text := range append(texts, m.config.Dir) {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("got %v\nwant %q", err, text)
		}
	}
	if !errdefs.IsDataLoss(err) {
		t.Errorf("kind %v", errdefs.Resolve(err))
	}
}

func TestTornLogIsRefused(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		m := ms[0]
		for i := range 300 {
			propose(t, m, node(fmt.Sprintf("n%d", i)))
		}
		m.stop()
		path := filepath.Join(m.config.Dir, "raft.db")
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write := func(b []byte) {
			t.Helper()
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, size := range []int{1, 100, 4096, 8192, 3 * 4096, 5000} {
			write(whole[:size])
			refused(t, m, "raft.db", "remove it and join the cluster again")
		}
		for _, page := range []int{0, 1} { // meta pages: one may be torn, the other is taken
			torn := append([]byte(nil), whole...)
			clear(torn[page*4096 : (page+1)*4096])
			write(torn)
			m.start()
			m.stop()
		}
		garbled := append([]byte(nil), whole...)
		for i := 2 * 4096; i < len(garbled); i++ {
			garbled[i] ^= 0x5a
		}
		write(garbled)
		refused(t, m, "raft.db")
		write(whole)
		m.start()
		if err := m.AwaitLeadership(t.Context()); err != nil || !has(m, "n299") {
			t.Errorf("the whole file: %v", err)
		}
	})
}

func TestLogWithAHoleIsRefused(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		m := ms[0]
		for i := range 10 {
			propose(t, m, node(fmt.Sprintf("n%d", i)))
		}
		m.stop()
		log, err := raftboltdb.NewBoltStore(filepath.Join(m.config.Dir, "raft.db"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(log.DeleteRange(4, 5), log.Close()); err != nil {
			t.Fatal(err)
		}
		refused(t, m, "log not found")
	})
}

// withSnapshot returns the files of the only snapshot, the log before which is
// gone.
func withSnapshot(t *testing.T, m *member) (file, meta string) {
	t.Helper()
	m.config.SnapshotThreshold, m.config.SnapshotInterval, m.config.TrailingLogs = 30, time.Second, 1
	restart(t, m)
	for i := range 50 {
		propose(t, m, node(fmt.Sprintf("n%d", i)))
	}
	time.Sleep(10 * time.Second)
	m.stop()
	found, err := filepath.Glob(filepath.Join(m.config.Dir, "snapshots", "*", "state.bin"))
	if err != nil || len(found) != 1 {
		t.Fatalf("snapshots %v, %v", found, err)
	}
	return found[0], filepath.Join(filepath.Dir(found[0]), "meta.json")
}

func TestDamagedSnapshotOnDiskIsRefused(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		m := ms[0]
		file, meta := withSnapshot(t, m)
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		damage := func(path string, b []byte) {
			t.Helper()
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		id := filepath.Base(filepath.Dir(file))
		damage(file, whole[:len(whole)-1])
		refused(t, m, "snapshot "+id, "CRC mismatch")
		damage(file, whole)
		m.start()
		if err := m.AwaitLeadership(t.Context()); err != nil || !has(m, "n49") {
			t.Fatalf("the whole snapshot: %v", err)
		}
		m.stop()
		damage(meta, []byte("{"))
		refused(t, m, "snapshot "+id+" has no readable meta.json")
	})
}

func TestSecondDaemonIsRefused(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		_, link := raft.NewInmemTransport("m1")
		_, err := raftstore.Open(t.Context(), raftstore.Config{ID: "m1", Dir: ms[0].config.Dir, Transport: link})
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "another daemon uses the raft directory "+ms[0].config.Dir) {
			t.Errorf("got %v", err)
		}
	})
}

// fullLog is a log on a disk that may be full.
type fullLog struct {
	raft.LogStore
	full *atomic.Bool
}

func (l fullLog) StoreLogs(logs []*raft.Log) error {
	if l.full.Load() {
		return errors.New("no space left on device")
	}
	return l.LogStore.StoreLogs(logs)
}

func (l fullLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

func TestFullDiskLosesNoAcknowledgedWrite(t *testing.T) {
	run(t, 3, func(b *bubble) {
		t, ms := b.T, b.members
		var full atomic.Bool
		ms[0].stop()
		ms[0].config.WrapLog = func(l raft.LogStore) raft.LogStore { return fullLog{l, &full} }
		ms[0].start()
		heal(ms)
		eventually(t, "m1 back in touch", func() bool { return leader(t, ms).Reachable()["m1"] })
		if l := leader(t, ms); l != ms[0] {
			eventually(t, "m1 leading", func() bool {
				return leader(t, ms).TransferLeadership(t.Context()) == nil && leader(t, ms) == ms[0]
			})
		}
		var kept []string
		for i := range 10 {
			propose(t, ms[0], node(fmt.Sprintf("before%d", i)))
			kept = append(kept, fmt.Sprintf("before%d", i))
		}
		full.Store(true)
		err := ms[0].Propose(t.Context(), node("refused"))
		if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("propose on a full disk: %v", err)
		}
		next := leader(t, ms[1:])
		for i := range 10 {
			propose(t, next, node(fmt.Sprintf("during%d", i)))
			kept = append(kept, fmt.Sprintf("during%d", i))
		}
		full.Store(false)
		eventually(t, "m1 caught up", func() bool { return has(ms[0], "during9") })
		restarted := ms[0]
		restarted.stop()
		restarted.start()
		heal(ms)
		eventually(t, "m1 caught up after a restart", func() bool { return has(restarted, "during9") })
		for _, id := range kept {
			if !has(restarted, id) || !has(next, id) {
				t.Errorf("%s was acknowledged and is lost", id)
			}
		}
	})
}

func TestFullDiskOfALoneMember(t *testing.T) {
	run(t, 1, func(b *bubble) {
		t, ms := b.T, b.members
		var full atomic.Bool
		m := ms[0]
		m.config.WrapLog = func(l raft.LogStore) raft.LogStore { return fullLog{l, &full} }
		restart(t, m)
		propose(t, m, node("a"))
		full.Store(true)
		for range 5 {
			if err := m.Propose(t.Context(), node("b")); !errdefs.IsUnavailable(err) {
				t.Errorf("propose on a full disk: %v", err)
			}
			time.Sleep(time.Second)
		}
		full.Store(false)
		if err := m.AwaitLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		propose(t, m, node("c"))
		if !has(m, "a") || has(m, "b") {
			t.Error("a is lost or b was kept")
		}
	})
}

func TestForceNewCluster(t *testing.T) {
	run(t, 3, func(b *bubble) {
		t, ms := b.T, b.members
		propose(t, ms[0], node("a"))
		eventually(t, "copy", func() bool { return has(ms[2], "a") })
		ms[0].stop()
		ms[1].stop()
		m := ms[2]
		time.Sleep(time.Minute)
		if err := m.Propose(t.Context(), node("b")); !errdefs.IsUnavailable(err) {
			t.Fatalf("write without a quorum: %v", err)
		}
		m.stop()
		if err := raftstore.ForceNewCluster(t.Context(), m.config); err != nil {
			t.Fatal(err)
		}
		m.start()
		if err := m.AwaitLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		propose(t, m, node("b"))
		if !has(m, "a") || len(m.Members()) != 1 {
			t.Errorf("has a: %v, members %v", has(m, "a"), m.Members())
		}
		restart(t, m)
		if !has(m, "a") || !has(m, "b") {
			t.Error("lost by a restart")
		}

		empty := raftstore.Config{ID: "m9", Dir: t.TempDir(), Transport: m.link}
		if err := raftstore.ForceNewCluster(t.Context(), empty); err == nil {
			t.Error("forced a cluster from nothing")
		}
	})
}
