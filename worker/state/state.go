// Package state is a node's memory on disk: what it was told to be and what
// became of its tasks. With it a worker goes on after a restart before any
// manager answers.
package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/internal/boltfile"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/port"
)

// format is the version of the file's layout. A file of another one is refused.
const format = 1

// The buckets. Tasks, statuses and peers are keyed by id, ports by protocol
// and published port.
const (
	bucketMeta     = "meta"
	bucketTasks    = "tasks"
	bucketStatuses = "statuses"
	bucketPeers    = "peers"
	bucketPorts    = "ports"

	keyFormat   = "format"
	keySettings = "settings"
)

// DB is the open file.
type DB struct{ bolt *bbolt.DB }

// Open opens or creates the file at path. FailedPrecondition when another
// process has it open, or when a newer version of muster wrote it; DataLoss
// when it is damaged.
func Open(path string) (*DB, error) {
	b, err := boltfile.Open(path)
	if errdefs.IsDataLoss(err) {
		return nil, fmt.Errorf("the worker's memory cannot be used (remove it: the managers tell this node again what to run): %w", err)
	} else if err != nil {
		return nil, fmt.Errorf("open the worker's memory: %w", err)
	}
	// Statuses of many tasks that change together share one sync to disk.
	b.MaxBatchDelay = 2 * time.Millisecond
	db := &DB{bolt: b}
	if err := db.init(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the worker's memory %s: %w", path, err), b.Close())
	}
	return db, nil
}

func (db *DB) init() error {
	return db.bolt.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketMeta, bucketTasks, bucketStatuses, bucketPeers, bucketPorts} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte(bucketMeta))
		if v := meta.Get([]byte(keyFormat)); v != nil {
			if got := binary.BigEndian.Uint32(v); got != format {
				return fmt.Errorf("it has format %d, this version reads %d: %w", got, format, errdefs.ErrFailedPrecondition)
			}
			return nil
		}
		return meta.Put([]byte(keyFormat), binary.BigEndian.AppendUint32(nil, format))
	})
}

// Close closes the file.
func (db *DB) Close() error { return db.bolt.Close() }

// Saved is everything a node remembers.
type Saved struct {
	Tasks    map[string]*dispatchpb.TaskAssignment
	Statuses map[string]*clusterpb.TaskStatus
	Peers    []*dispatchpb.Peer
	Ports    []*dispatchpb.MeshPort
	// Settings is nil on a node that no manager has talked to yet.
	Settings *dispatchpb.Settings
}

// Load reads everything.
func (db *DB) Load() (*Saved, error) {
	s := &Saved{Tasks: make(map[string]*dispatchpb.TaskAssignment), Statuses: make(map[string]*clusterpb.TaskStatus)}
	err := db.bolt.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket([]byte(bucketMeta)).Get([]byte(keySettings)); v != nil {
			s.Settings = &dispatchpb.Settings{}
			if err := proto.Unmarshal(v, s.Settings); err != nil {
				return fmt.Errorf("read settings: %w", err)
			}
		}
		return errors.Join(
			each(tx, bucketTasks, func(id string, t *dispatchpb.TaskAssignment) { s.Tasks[id] = t }),
			each(tx, bucketStatuses, func(id string, st *clusterpb.TaskStatus) { s.Statuses[id] = st }),
			each(tx, bucketPeers, func(_ string, p *dispatchpb.Peer) { s.Peers = append(s.Peers, p) }),
			each(tx, bucketPorts, func(_ string, p *dispatchpb.MeshPort) { s.Ports = append(s.Ports, p) }),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("load node state: %w", err)
	}
	return s, nil
}

// each decodes every value of a bucket.
func each[T any, M interface {
	*T
	proto.Message
}](tx *bbolt.Tx, bucket string, f func(key string, m M)) error {
	return tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error {
		m := M(new(T))
		if err := proto.Unmarshal(v, m); err != nil {
			return fmt.Errorf("read %s %s: %w", bucket, k, err)
		}
		f(string(k), m)
		return nil
	})
}

// SaveStatus remembers what was last observed of a task. It returns once that
// is on disk.
func (db *DB) SaveStatus(taskID string, status *clusterpb.TaskStatus) error {
	err := db.bolt.Batch(func(tx *bbolt.Tx) error { return put(tx, bucketStatuses, taskID, status) })
	if err != nil {
		return fmt.Errorf("save status of task %s: %w", taskID, err)
	}
	return nil
}

// Apply remembers what the managers sent, by the rules of the message: a full
// set replaces everything, a difference changes what was there.
func (db *DB) Apply(a *dispatchpb.Assignments) error {
	err := db.bolt.Update(func(tx *bbolt.Tx) error {
		if a.GetFull() {
			for _, name := range []string{bucketTasks, bucketPeers, bucketPorts} {
				if err := empty(tx, name); err != nil {
					return err
				}
			}
		}
		return errors.Join(applyTasks(tx, a), applyMesh(tx, a), put(tx, bucketMeta, keySettings, a.GetSettings()))
	})
	if err != nil {
		return fmt.Errorf("save assignments: %w", err)
	}
	return nil
}

func empty(tx *bbolt.Tx, bucket string) error {
	if err := tx.DeleteBucket([]byte(bucket)); err != nil {
		return err
	}
	_, err := tx.CreateBucket([]byte(bucket))
	return err
}

func applyTasks(tx *bbolt.Tx, a *dispatchpb.Assignments) error {
	var errs []error
	for _, t := range a.GetTasks() {
		errs = append(errs, put(tx, bucketTasks, t.GetTask().GetId(), t))
	}
	for _, id := range a.GetGoneTasks() {
		errs = append(errs, tx.Bucket([]byte(bucketTasks)).Delete([]byte(id)))
	}
	return errors.Join(errs...)
}

func applyMesh(tx *bbolt.Tx, a *dispatchpb.Assignments) error {
	var errs []error
	for _, p := range a.GetPeers() {
		errs = append(errs, put(tx, bucketPeers, p.GetId(), p))
	}
	for _, id := range a.GetGonePeers() {
		errs = append(errs, tx.Bucket([]byte(bucketPeers)).Delete([]byte(id)))
	}
	for _, p := range a.GetPorts() {
		errs = append(errs, put(tx, bucketPorts, port.Of(p).String(), p))
	}
	for _, p := range a.GetGonePorts() {
		errs = append(errs, tx.Bucket([]byte(bucketPorts)).Delete([]byte(port.Of(p).String())))
	}
	return errors.Join(errs...)
}

func put(tx *bbolt.Tx, bucket, key string, m proto.Message) error {
	data, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", bucket, key, err)
	}
	return tx.Bucket([]byte(bucket)).Put([]byte(key), data)
}

// Forget drops a task and its status.
func (db *DB) Forget(taskID string) error {
	err := db.bolt.Batch(func(tx *bbolt.Tx) error {
		return errors.Join(
			tx.Bucket([]byte(bucketTasks)).Delete([]byte(taskID)),
			tx.Bucket([]byte(bucketStatuses)).Delete([]byte(taskID)),
		)
	})
	if err != nil {
		return fmt.Errorf("forget task %s: %w", taskID, err)
	}
	return nil
}
