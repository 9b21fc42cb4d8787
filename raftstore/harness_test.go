package raftstore_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
)

// member is a store under test that can be stopped and started again.
type member struct {
	*raftstore.Store
	t      testing.TB
	config raftstore.Config
	link   *raft.InmemTransport
	stop   func()
}

// bubble is what run gives to a test.
type bubble struct {
	*testing.T
	members []*member
}

// run runs f in a bubble with n members, each with a directory, of which the
// first was bootstrapped and added the others.
func run(t *testing.T, n int, f func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var ms []*member
		for i := range n {
			ms = append(ms, &member{t: t, config: raftstore.Config{ID: fmt.Sprintf("m%d", i+1), Dir: t.TempDir()}})
		}
		for _, m := range ms {
			m.start()
			t.Cleanup(func() { m.stop() })
		}
		heal(ms)
		if err := ms[0].Bootstrap(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ms[0].AwaitLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, m := range ms[1:] {
			if err := ms[0].AddVoter(t.Context(), m.config.ID, m.config.ID); err != nil {
				t.Fatal(err)
			}
		}
		f(&bubble{T: t, members: ms})
	})
}

// start opens and runs the store, with whatever its directory holds.
func (m *member) start() {
	m.t.Helper()
	_, m.link = raft.NewInmemTransport(raft.ServerAddress(m.config.ID))
	m.config.Transport = m.link
	s, err := raftstore.Open(m.t.Context(), m.config)
	if err != nil {
		m.t.Fatal(err)
	}
	m.Store = s
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	m.stop = func() {
		m.stop = func() {}
		cancel()
		if err := <-ended; err != nil {
			m.t.Errorf("%s: %v", m.config.ID, err)
		}
	}
}

// isolate cuts a member off from the others.
func isolate(m *member, others []*member) {
	for _, o := range others {
		m.link.Disconnect(o.link.LocalAddr())
		o.link.Disconnect(m.link.LocalAddr())
	}
}

// heal connects every member to every other.
func heal(ms []*member) {
	for _, a := range ms {
		for _, b := range ms {
			if a != b {
				a.link.Connect(b.link.LocalAddr(), b.link)
			}
		}
	}
}

// leader waits for a member of ms that a quorum obeys.
func leader(t testing.TB, ms []*member) (l *member) {
	t.Helper()
	eventually(t, "a leader", func() bool {
		for _, m := range ms {
			if m.IsLeader() && m.VerifyLeader(t.Context()) == nil {
				l = m
				return true
			}
		}
		return false
	})
	return l
}

// eventually fails the test unless ok becomes true within a (fake) minute.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("no %s after a minute", what)
		}
	}
}

func propose(t testing.TB, m *member, c ...*raftpb.Change) {
	t.Helper()
	if err := m.Propose(t.Context(), c...); err != nil {
		t.Fatalf("propose to %s: %v", m.config.ID, err)
	}
}

func has(m *member, node string) bool {
	_, ok := m.State().Node(node)
	return ok
}
