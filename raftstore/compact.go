package raftstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/raft"
)

// compactor keeps the log short in bytes; in entries raft does so itself.
type compactor struct {
	raft      *raft.Raft
	log       *measuredLog
	snapshots raft.SnapshotStore
	logger    *slog.Logger

	keep     int    // bytes of entries that stay behind a snapshot
	trailing uint64 // … and how many they are at most
	due      int    // bytes of the log that make a snapshot due
}

// run compacts the log whenever it has grown too large, until ctx is done.
func (c *compactor) run(ctx context.Context) {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval = time.Second, time.Minute
	c.due = 2 * c.keep
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.log.grown:
		}
		for {
			err := c.step()
			if err == nil {
				retry.Reset()
				break
			}
			d := retry.NextBackOff()
			c.logger.WarnContext(ctx, "compact the raft log: will retry", "in", d, "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(d):
			}
		}
	}
}

// step takes a snapshot if one is due.
func (c *compactor) step() error {
	if err := c.trail(); err != nil || c.log.bytes() <= c.due {
		return err
	}
	if err := c.raft.Snapshot().Error(); err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	metas, err := c.snapshots.List()
	if err != nil || len(metas) == 0 {
		return errors.Join(err, errors.New("the snapshot that was taken is not there"))
	}
	// To write snapshots is to take no more than to write the log.
	c.due = c.log.bytes() + max(c.keep, int(metas[0].Size))
	return nil
}

// trail tells raft how many entries to leave behind the next snapshot, whoever
// takes it.
func (c *compactor) trail() error {
	rc := c.raft.ReloadableConfig()
	n := c.log.newest(c.keep, c.trailing)
	if rc.TrailingLogs == n {
		return nil
	}
	rc.TrailingLogs = n
	return c.raft.ReloadConfig(rc)
}
