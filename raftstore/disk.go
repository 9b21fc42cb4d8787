package raftstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/muster/muster/internal/boltfile"
	"github.com/muster/muster/raftstore/state"
)

const (
	logFile       = "raft.db"
	keepSnapshots = 2
)

// disk is where a member keeps its log, its vote and its snapshots.
type disk struct {
	dir       string // empty in memory
	log       raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	close     func() error
}

// Memory is what a member without a directory has instead of a disk.
type Memory struct {
	Log       *raft.InmemStore // and the vote
	Snapshots raft.SnapshotStore
}

// NewMemory returns the memory of a member that has no state yet.
func NewMemory() *Memory {
	return &Memory{Log: raft.NewInmemStore(), Snapshots: raft.NewInmemSnapshotStore()}
}

// Wipe removes all that a member has kept in its directory or its memory. Its
// store must be closed.
func (c *Config) Wipe() error {
	if c.Memory != nil {
		*c.Memory = *NewMemory()
	}
	if c.Dir == "" {
		return nil
	}
	return os.RemoveAll(c.Dir)
}

func openDisk(ctx context.Context, c Config, log hclog.Logger) (*disk, error) {
	if c.Dir == "" {
		mem := c.Memory
		if mem == nil {
			mem = NewMemory()
		}
		return c.wrap(&disk{log: mem.Log, stable: mem.Log, snapshots: mem.Snapshots, close: func() error { return nil }}), nil
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make raft directory: %w", err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(c.Dir, keepSnapshots, log)
	if err != nil {
		return nil, fmt.Errorf("open snapshots in %s: %w", c.Dir, err)
	}
	d := &disk{dir: c.Dir, snapshots: snapshots}
	bolt, err := d.openBolt(ctx)
	if err != nil {
		return nil, err
	}
	d.log, d.stable, d.close = &recentLog{LogStore: bolt}, bolt, bolt.Close
	if err := d.checkUnlisted(); err != nil {
		return nil, errors.Join(d.damaged(err), bolt.Close())
	}
	return c.wrap(d), nil
}

func (c *Config) wrap(d *disk) *disk {
	if c.WrapLog != nil {
		d.log = c.WrapLog(d.log)
	}
	if c.WrapStable != nil {
		d.stable = c.WrapStable(d.stable)
	}
	return d
}

func (d *disk) openBolt(ctx context.Context) (*raftboltdb.BoltStore, error) {
	path := filepath.Join(d.dir, logFile)
	if err := boltfile.Check(path); err != nil {
		return nil, d.openError(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path:        path,
		BoltOptions: boltfile.Options(),
	})
	if err != nil {
		return nil, d.openError(boltfile.Explain(path, err))
	}
	return bolt, nil
}

func (d *disk) openError(err error) error {
	switch {
	case errdefs.IsFailedPrecondition(err):
		return fmt.Errorf("another daemon uses the raft directory %s: %w", d.dir, errdefs.ErrFailedPrecondition)
	case errdefs.IsDataLoss(err):
		return d.damaged(err)
	}
	return fmt.Errorf("open the raft log: %w", err)
}

// damaged says what to do about state that cannot be read.
func (d *disk) damaged(err error) error {
	if !errdefs.IsDataLoss(err) {
		err = fmt.Errorf("%w: %w", err, errdefs.ErrDataLoss)
	}
	return fmt.Errorf("the raft state in %s cannot be used (restore the directory, or remove it and join the cluster again): %w", d.dir, err)
}

// checkSnapshots says what is wrong with those that cannot be restored, for
// raft only says that none can.
func (d *disk) checkSnapshots() error {
	metas, err := d.snapshots.List()
	errs := []error{err}
	for _, m := range metas {
		_, from, err := d.snapshots.Open(m.ID)
		if err == nil {
			_, err = state.ReadSnapshot(from)
			err = errors.Join(err, from.Close())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("snapshot %s: %w", m.ID, err))
		}
	}
	return errors.Join(errs...)
}

// checkUnlisted refuses a directory all of whose snapshots lack a description:
// raft passes over those, and would begin with an empty state.
func (d *disk) checkUnlisted() error {
	metas, err := d.snapshots.List()
	if err != nil || len(metas) > 0 {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(d.dir, "snapshots"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") {
			return fmt.Errorf("snapshot %s has no readable meta.json", e.Name())
		}
	}
	return nil
}
