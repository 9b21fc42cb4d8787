package raftstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/raft"
)

const (
	// reachableFor is how long a member counts as reachable after it answered:
	// heartbeats come every 50–100 ms, and every 250 ms after a failure.
	reachableFor = time.Second
	// catchUpTimeout bounds the wait for a new member to receive the log.
	catchUpTimeout = 30 * time.Second
	catchUpPoll    = 20 * time.Millisecond
)

// Member is one of the managers that hold the store.
type Member struct {
	ID   string
	Addr string // HOST:PORT
	// Voter is false while a member that was just added receives the log.
	Voter bool
}

// Bootstrap makes this member the only one of a new cluster. It is refused
// when the member has state.
func (s *Store) Bootstrap(ctx context.Context) error {
	err := s.call(ctx, "bootstrap", func(context.Context) error {
		return s.raft.BootstrapCluster(lone(s.id, s.link)).Error()
	})
	if errors.Is(err, raft.ErrCantBootstrap) {
		return fmt.Errorf("this manager belongs to a cluster already: %w", errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return err
	}
	s.log.InfoContext(ctx, "bootstrapped", "node", s.id, "addr", s.link.LocalAddr())
	return nil
}

// lone is the membership of a cluster of one.
func lone(id string, t raft.Transport) raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(id), Address: t.LocalAddr()}}}
}

// Members returns the members as far as this one knows, ordered by id.
func (s *Store) Members() []Member {
	var members []Member
	for _, m := range s.raft.GetConfiguration().Configuration().Servers {
		members = append(members, Member{ID: string(m.ID), Addr: string(m.Address), Voter: m.Suffrage == raft.Voter})
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members
}

func (s *Store) member(id string) (Member, bool) {
	members := s.Members()
	i := slices.IndexFunc(members, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return Member{}, false
	}
	return members[i], true
}

func voters(members []Member) (n int) {
	for _, m := range members {
		if m.Voter {
			n++
		}
	}
	return n
}

// Reachable tells which members answered the leader in the last second. It is
// nil on others, who do not know.
func (s *Store) Reachable() map[string]bool {
	if s.raft.State() != raft.Leader {
		return nil
	}
	reachable := make(map[string]bool)
	for _, m := range s.Members() {
		reachable[m.ID] = m.ID == s.id || time.Since(s.link.contact(m.ID).at) < reachableFor
	}
	return reachable
}

// AddVoter adds the member, or changes its address. It first receives the log
// without a vote, so that a member which cannot be reached never counts: a
// cluster of one would lose its quorum by it. The member must run its store.
func (s *Store) AddVoter(ctx context.Context, id, addr string) error {
	s.members.Lock()
	defer s.members.Unlock()
	have, known := s.member(id)
	if known && have.Voter && have.Addr == addr {
		return nil
	}
	for _, other := range s.Members() {
		if other.Addr == addr && other.ID != id {
			s.log.WarnContext(ctx, "a manager that is none asks for the vote of one at its address", "node", id, "addr", addr, "member", other.ID)
			return fmt.Errorf("manager %s has the address %s: if that was this machine before it was set up anew, remove it with \"muster node rm --force %s\" and join again: %w",
				other.ID, addr, other.ID, errdefs.ErrFailedPrecondition)
		}
	}
	if !known || !have.Voter {
		if err := s.stage(ctx, id, addr); err != nil {
			return err
		}
	}
	return s.call(ctx, "add manager "+id, func(ctx context.Context) error {
		return s.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(addr), 0, left(ctx)).Error()
	})
}

// stage adds a member without a vote and waits until it has the log, or
// removes it again.
func (s *Store) stage(ctx context.Context, id, addr string) error {
	s.link.forget(id)
	err := s.call(ctx, "add manager "+id, func(ctx context.Context) error {
		return s.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(addr), 0, left(ctx)).Error()
	})
	if err != nil {
		return err
	}
	if err = s.awaitLog(ctx, id, s.raft.LastIndex()); err == nil {
		return nil
	}
	err = fmt.Errorf("manager %s at %s: %w", id, addr, err)
	// ctx may be done, which must not leave the member behind.
	undo := s.call(context.WithoutCancel(ctx), "remove manager "+id, func(ctx context.Context) error {
		return s.raft.RemoveServer(raft.ServerID(id), 0, left(ctx)).Error()
	})
	return errors.Join(err, undo)
}

func (s *Store) awaitLog(ctx context.Context, id string, index uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, catchUpTimeout,
		fmt.Errorf("it did not answer on its port or did not receive the log within %s: %w", catchUpTimeout, errdefs.ErrUnavailable))
	defer cancel()
	tick := time.NewTicker(catchUpPoll)
	defer tick.Stop()
	for s.link.contact(id).lastLog < index {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until it has the log: %w", context.Cause(ctx))
		}
		if s.raft.State() != raft.Leader {
			return fmt.Errorf("leadership was lost: %w", errdefs.ErrUnavailable)
		}
	}
	return nil
}

// RemoveMember takes a member's vote and log away. It is refused when the
// members that remain and can be reached would be no quorum, and for the last
// one. A leader that removes itself steps down once that is committed; to
// avoid an election, transfer leadership first and let the new leader do it.
func (s *Store) RemoveMember(ctx context.Context, id string) error {
	s.members.Lock()
	defer s.members.Unlock()
	if err := s.Removable(id); err != nil {
		return err
	}
	return s.call(ctx, "remove manager "+id, func(ctx context.Context) error {
		return s.raft.RemoveServer(raft.ServerID(id), 0, left(ctx)).Error()
	})
}

// Removable returns why RemoveMember would refuse to remove the member now, or
// nil.
func (s *Store) Removable(id string) error {
	if !s.IsLeader() {
		return s.raftError("remove manager "+id, raft.ErrNotLeader)
	}
	return checkRemoval(s.Members(), s.Reachable(), id)
}

// checkRemoval decides whether the member may go.
func checkRemoval(members []Member, reachable map[string]bool, id string) error {
	if !slices.ContainsFunc(members, func(m Member) bool { return m.ID == id }) {
		return fmt.Errorf("%s is no manager: %w", id, errdefs.ErrNotFound)
	}
	remain, answer := 0, 0
	for _, m := range members {
		if m.ID == id || !m.Voter {
			continue
		}
		remain++
		if reachable[m.ID] {
			answer++
		}
	}
	switch {
	case remain == 0:
		return fmt.Errorf("%s is the last manager and cannot be removed: %w", id, errdefs.ErrFailedPrecondition)
	case answer < remain/2+1:
		return fmt.Errorf("without %s only %d of %d managers can be reached, which is no quorum: %w",
			id, answer, remain, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// ForceNewCluster makes a member whose quorum is lost for good the only one,
// with all it has in its log, even what was not committed. The store must be
// closed, and every other former member must be wiped before it joins again.
func ForceNewCluster(ctx context.Context, c Config) error {
	rc, err := c.raftConfig(nil)
	if err != nil {
		return err
	}
	d, err := openDisk(ctx, c, rc.Logger)
	if err != nil {
		return err
	}
	l := newLink(c, rc)
	err = recoverLone(rc, d, l)
	return errors.Join(err, l.Close(), d.close())
}

func recoverLone(rc *raft.Config, d *disk, l *link) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.damaged(fmt.Errorf("%v", p))
		}
	}()
	if err := raft.RecoverCluster(rc, NewFSM(), d.log, d.stable, d.snapshots, l, lone(string(rc.LocalID), l)); err != nil {
		return d.damaged(fmt.Errorf("force a new cluster: %w", err))
	}
	return nil
}
