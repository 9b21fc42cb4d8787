package raftstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/semaphore"

	"github.com/muster/muster/raftstore/state"
)

// Bounds of a stop: what takes longer is cut off.
const (
	transferTimeout = 2 * time.Second
	drainTimeout    = 5 * time.Second
)

// Store is one member of the replicated store.
type Store struct {
	fsm     *FSM
	id      string
	raft    *raft.Raft
	link    *link
	disk    *disk
	log     *slog.Logger
	lead    leadership
	stall   *stall
	calls   gate
	members sync.Mutex // one change of membership at a time
	compact compactor
	// room is for the bytes that proposals under way take.
	room *semaphore.Weighted
}

// underWay is how many bytes the proposals under way take at most, so that
// what raft writes to the log at once is small: others wait their turn.
const underWay = 8 << 20

// Open recovers a member from disk and starts it. A member without state waits
// until it is bootstrapped or added by a leader. Call Run next: it must run
// for the member to lead, and it closes the store.
func Open(ctx context.Context, c Config) (*Store, error) {
	notify := make(chan bool, 16)
	rc, err := c.raftConfig(notify)
	if err != nil {
		return nil, err
	}
	d, err := openDisk(ctx, c, rc.Logger)
	if err != nil {
		return nil, err
	}
	s := &Store{
		fsm:   NewFSM(),
		id:    c.ID,
		link:  newLink(c, rc),
		disk:  d,
		log:   c.log(),
		lead:  newLeadership(notify),
		stall: newStall(),
		room:  semaphore.NewWeighted(underWay),
	}
	measured, err := measure(d.log)
	if err != nil {
		return nil, errors.Join(d.damaged(err), s.link.Close(), d.close())
	}
	d.log, s.link.stall = watchedLog{&suffixLog{LogStore: measured}, s.stall}, s.stall
	if s.raft, err = startRaft(rc, s.fsm, d, s.link); err != nil {
		return nil, errors.Join(err, s.link.Close(), d.close())
	}
	s.compact = compactor{
		raft: s.raft, log: measured, snapshots: d.snapshots, logger: s.log,
		keep: cmp.Or(c.LogBytes, 64<<20), trailing: rc.TrailingLogs,
	}
	return s, nil
}

// startRaft turns raft's panics about a log with holes into an error.
func startRaft(rc *raft.Config, fsm *FSM, d *disk, l *link) (r *raft.Raft, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.damaged(fmt.Errorf("%v", p))
		}
	}()
	if r, err = raft.NewRaft(rc, fsm, d.log, d.stable, d.snapshots, l); err != nil {
		return nil, d.damaged(errors.Join(err, d.checkSnapshots()))
	}
	return r, nil
}

// ID is this member's.
func (s *Store) ID() string { return s.id }

// State returns the latest state that this member applied. It never blocks.
func (s *Store) State() *state.State { return s.fsm.State() }

// Subscribe starts collecting every change. Subscribe before reading the
// first State, and Close when done.
func (s *Store) Subscribe() *Subscription { return s.fsm.Subscribe() }

// SubscribeTo is Subscribe for the changes that match. The function is called
// while the state machine waits, so it must be quick and must not block.
func (s *Store) SubscribeTo(match func(state.Ref) bool) *Subscription {
	return s.fsm.SubscribeTo(match)
}

// Run tells of leadership until ctx is done, then hands it over, and closes
// the store.
func (s *Store) Run(ctx context.Context) error {
	var compacting sync.WaitGroup
	compacting.Go(func() { s.compact.run(ctx) })
	s.watchLeadership(ctx)
	err := s.close(context.WithoutCancel(ctx))
	compacting.Wait() // raft answers it when it stops
	return errors.Join(err, s.disk.close())
}

func (s *Store) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	if s.raft.State() == raft.Leader && voters(s.Members()) > 1 {
		if err := s.TransferLeadership(ctx); err != nil {
			s.log.Info("stop without handing over leadership", "err", err)
		}
	}
	if !s.calls.close(drainTimeout) {
		s.log.Warn("stop with proposals unanswered", "in", drainTimeout)
	}
	err := s.raft.Shutdown().Error()
	if !s.link.handOvers.close(rpcTimeout) {
		s.log.Warn("stop with a hand-over of leadership unanswered", "in", rpcTimeout)
	}
	return err
}
