package raftstore

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
)

// Config says how a member of the store runs. All but ID and one of Stream
// and Transport may be left zero.
type Config struct {
	// ID of this member: the node's id. It must never change.
	ID string
	// Dir is the directory of log and snapshots; empty keeps them in memory.
	Dir string
	// Memory is used when Dir is empty, and made when it is nil. What it holds
	// outlives the store: for tests of restarts.
	Memory *Memory

	// Stream carries raft between members; its address is the one that others
	// are told. See package transport.
	Stream raft.StreamLayer
	// Transport is used instead of Stream when set: for tests.
	Transport Transport

	Log *slog.Logger // nothing is logged when nil

	// HeartbeatTimeout is how long a follower waits for its leader before it
	// stands for election; 500 ms when 0. Elections time out after the same.
	HeartbeatTimeout time.Duration
	// LeaderLease is how long a leader acts without hearing from a quorum;
	// 250 ms when 0, at most HeartbeatTimeout.
	LeaderLease time.Duration

	// SnapshotThreshold is how many entries make a snapshot due; 8192 when 0.
	SnapshotThreshold uint64
	// SnapshotInterval is how often that is looked at; 2 min when 0.
	SnapshotInterval time.Duration
	// TrailingLogs is how many entries stay behind a snapshot for followers
	// that are slow; 10240 when 0.
	TrailingLogs uint64
	// LogBytes is how many bytes of entries stay behind a snapshot at most. When
	// as many have come on top, or as many as the last snapshot took if that is
	// more, another is taken at once. 64 MiB when 0.
	LogBytes int

	// WrapLog and WrapStable, when set, are put around the log on disk, and
	// around what is kept beside it, the vote and the term: for tests of failures.
	WrapLog    func(raft.LogStore) raft.LogStore
	WrapStable func(raft.StableStore) raft.StableStore
}

// Transport is what raft needs of a transport to run without stale leaders
// disturbing it. Both of raft's own transports have it.
type Transport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// raftConfig returns raft's configuration; leadership changes go to notify.
func (c *Config) raftConfig(notify chan<- bool) (*raft.Config, error) {
	if c.ID == "" {
		return nil, errors.New("the store needs the id of its member")
	}
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(c.ID)
	rc.HeartbeatTimeout = cmp.Or(c.HeartbeatTimeout, 500*time.Millisecond)
	rc.ElectionTimeout = rc.HeartbeatTimeout
	rc.LeaderLeaseTimeout = cmp.Or(c.LeaderLease, 250*time.Millisecond)
	rc.SnapshotThreshold = cmp.Or(c.SnapshotThreshold, rc.SnapshotThreshold)
	rc.SnapshotInterval = cmp.Or(c.SnapshotInterval, rc.SnapshotInterval)
	rc.TrailingLogs = cmp.Or(c.TrailingLogs, rc.TrailingLogs)
	rc.NotifyCh = notify
	// A removed member stays a follower that nobody talks to until its daemon
	// has seen that it is no manager any more and closes the store.
	rc.ShutdownOnRemove = false
	rc.NoLegacyTelemetry = true
	rc.Logger = raftLogger(c.log())
	return rc, nil
}

func (c *Config) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}
