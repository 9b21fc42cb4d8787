package state

import (
	"fmt"
	"iter"
	"time"

	raftpb "github.com/muster/muster/proto/raft/v1"
)

// kind describes one kind of object. What is done to all kinds alike (begin
// and commit a command, snapshot, restore, tell watchers) follows from it.
type kind[T comparable] struct {
	// name is what Refs and errors call it.
	name Kind
	// key is unique and never changes; it must not contain a zero byte. It is
	// nil when there is only one object of the kind.
	key func(T) string
	// indexes each map an object to the values it is found by, none to leave
	// it out. Several objects may have the same value.
	indexes []func(T) []string

	// item and object put an object into a snapshot's item and take it out;
	// object returns nil for the items of other kinds.
	item   func(T) *raftpb.SnapshotItem
	object func(*raftpb.SnapshotItem) T
	// restore, when set, completes an object that was read from a snapshot. The
	// kinds before this one are restored already.
	restore func(*tx, T)

	// setBack, when set, returns the object with the times that something waits by
	// moved into the past.
	setBack func(v T, by time.Duration) T

	// belongs, when set, names the service and the node of an object.
	belongs func(T) (owner, node string)
	// unwatched: nobody is told of changes.
	unwatched bool
	// answers: a command is answered with the id of the first object of such a
	// kind that it created or changed.
	answers bool
}

// keyOf returns the object's key, which is empty when there is only one.
func (k *kind[T]) keyOf(v T) string {
	if k.key == nil {
		return ""
	}
	return k.key(v)
}

func (k *kind[T]) ref(v T) Ref {
	r := Ref{Kind: k.name, ID: k.keyOf(v)}
	if k.belongs != nil {
		r.Owner, r.Node = k.belongs(v)
	}
	return r
}

// anyTable is a table whatever the kind of its objects.
type anyTable interface {
	begin()
	commit()
	// items yields the objects as snapshots hold them, ordered by key.
	items() iter.Seq[*raftpb.SnapshotItem]
	// take puts an object of a snapshot back; not ok when it is of another kind.
	take(*tx, *raftpb.SnapshotItem) (ok bool, err error)
	setBack(tx *tx, by time.Duration)
	// refs yields what watchers are told of each object.
	refs() iter.Seq[Ref]
}

func (t *table[T]) items() iter.Seq[*raftpb.SnapshotItem] {
	return func(yield func(*raftpb.SnapshotItem) bool) {
		for v := range t.all() {
			if !yield(t.kind.item(v)) {
				return
			}
		}
	}
}

func (t *table[T]) take(tx *tx, item *raftpb.SnapshotItem) (ok bool, err error) {
	var none T
	v := t.kind.object(item)
	if v == none {
		return false, nil
	}
	what, key := string(t.kind.name), t.kind.keyOf(v)
	if t.kind.key != nil {
		if key == "" {
			return true, fmt.Errorf("a %s without id", what)
		}
		what += " " + key
	}
	if _, exists := t.get(key); exists {
		return true, fmt.Errorf("%s is there twice", what)
	}
	if t.kind.restore != nil {
		t.kind.restore(tx, v)
	}
	t.put(v)
	return true, nil
}

func (t *table[T]) refs() iter.Seq[Ref] {
	return func(yield func(Ref) bool) {
		if t.kind.unwatched {
			return
		}
		for v := range t.all() {
			if !yield(t.kind.ref(v)) {
				return
			}
		}
	}
}

// set creates or replaces an object in the command's table.
func set[T comparable](tx *tx, t *table[T], v T) {
	t.put(v)
	touch(tx, t.kind, v)
}

// remove deletes an object from the command's table.
func remove[T comparable](tx *tx, t *table[T], v T) {
	t.delete(t.kind.keyOf(v))
	touch(tx, t.kind, v)
}

// touch notes that the command changed the object.
func touch[T comparable](tx *tx, k *kind[T], v T) {
	if k.unwatched {
		return
	}
	tell(tx, k, v)
	tx.changed = true
	if k.answers && tx.answer == "" {
		tx.answer = k.keyOf(v)
	}
}

// tell has watchers look at the object.
func tell[T comparable](tx *tx, k *kind[T], v T) {
	if !k.unwatched {
		tx.touched = append(tx.touched, k.ref(v))
	}
}
