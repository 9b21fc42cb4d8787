package state

import (
	"bytes"
	"iter"
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// table holds the objects of one kind, found by key or by a secondary index.
//
// In a State it never changes. A command changes a copy, from begin to commit;
// copies share all they can, so taking one is free, and a command pays only
// for the tables it writes to.
type table[T comparable] struct {
	kind    *kind[T]
	rows    *iradix.Tree[T]
	indexes []*iradix.Tree[T] // one per kind.indexes

	open bool        // in a command's copy
	txn  *writing[T] // nil before the first write
}

// writing is what a command has written to a table so far.
type writing[T comparable] struct {
	rows    *iradix.Txn[T]
	indexes []*iradix.Txn[T]
	size    int
}

func newTable[T comparable](k *kind[T]) table[T] {
	t := table[T]{kind: k, rows: iradix.New[T]()}
	for range k.indexes {
		t.indexes = append(t.indexes, iradix.New[T]())
	}
	return t
}

// get returns the object with that key.
func (t *table[T]) get(key string) (T, bool) {
	if t.txn != nil {
		return t.txn.rows.Get([]byte(key))
	}
	return t.rows.Get([]byte(key))
}

// one returns the object of a kind of which there is only one, or nil.
func (t *table[T]) one() T {
	v, _ := t.get("")
	return v
}

func (t *table[T]) len() int {
	if t.txn != nil {
		return t.txn.size
	}
	return t.rows.Len()
}

// all yields every object, ordered by key; do not write while ranging.
func (t *table[T]) all() iter.Seq[T] {
	if t.txn != nil {
		return under(t.txn.rows.Root(), "")
	}
	return under(t.rows.Root(), "")
}

// with yields the objects that have value in the index, ordered by key; do not
// write while ranging.
func (t *table[T]) with(index int, value string) iter.Seq[T] {
	return under(t.index(index), value+"\x00")
}

// after is all from the first key above that on.
func (t *table[T]) after(key string) iter.Seq[T] { return above(t.rows.Root(), "", key) }

// withAfter is with from the first key above that on.
func (t *table[T]) withAfter(index int, value, key string) iter.Seq[T] {
	return above(t.index(index), value+"\x00", key)
}

// has reports whether an object has value in the index.
func (t *table[T]) has(index int, value string) bool {
	for range t.with(index, value) {
		return true
	}
	return false
}

// first returns the object with the lowest value in the index.
func (t *table[T]) first(index int) (T, bool) {
	_, v, ok := t.index(index).Minimum()
	return v, ok
}

// values yields the distinct values of the index in order.
func (t *table[T]) values(index int) iter.Seq[string] {
	return func(yield func(string) bool) {
		last, some := "", false
		it := t.index(index).Iterator()
		for k, _, ok := it.Next(); ok; k, _, ok = it.Next() {
			v := string(k[:slices.Index(k, 0)])
			if some && v == last {
				continue
			}
			last, some = v, true
			if !yield(v) {
				return
			}
		}
	}
}

func (t *table[T]) index(i int) *iradix.Node[T] {
	if t.txn != nil {
		return t.txn.indexes[i].Root()
	}
	return t.indexes[i].Root()
}

func under[T any](root *iradix.Node[T], prefix string) iter.Seq[T] {
	return func(yield func(T) bool) {
		it := root.Iterator()
		it.SeekPrefix([]byte(prefix))
		for _, v, ok := it.Next(); ok; _, v, ok = it.Next() {
			if !yield(v) {
				return
			}
		}
	}
}

// above yields what is under prefix from the first key above that on.
func above[T any](root *iradix.Node[T], prefix, key string) iter.Seq[T] {
	return func(yield func(T) bool) {
		it := root.Iterator()
		it.SeekLowerBound([]byte(prefix + key + "\x00"))
		for k, v, ok := it.Next(); ok && bytes.HasPrefix(k, []byte(prefix)); k, v, ok = it.Next() {
			if !yield(v) {
				return
			}
		}
	}
}

// begin makes the table a command's copy.
func (t *table[T]) begin() { t.open = true }

// commit ends what begin began.
func (t *table[T]) commit() {
	t.open = false
	if t.txn == nil {
		return
	}
	t.rows = t.txn.rows.CommitOnly()
	t.indexes = nil // shared with the State before
	for _, index := range t.txn.indexes {
		t.indexes = append(t.indexes, index.CommitOnly())
	}
	t.txn = nil
}

// put inserts the object or replaces the one with its key.
func (t *table[T]) put(v T) {
	t.write()
	key := t.kind.keyOf(v)
	old, replaced := t.txn.rows.Insert([]byte(key), v)
	if !replaced {
		t.txn.size++
	}
	for i, index := range t.kind.indexes {
		values := index(v)
		if replaced {
			t.unindex(i, key, index(old), values)
		}
		for _, value := range values {
			t.txn.indexes[i].Insert(indexKey(value, key), v)
		}
	}
}

// delete removes the object with that key, if there is one.
func (t *table[T]) delete(key string) {
	t.write()
	old, ok := t.txn.rows.Delete([]byte(key))
	if !ok {
		return
	}
	t.txn.size--
	for i, index := range t.kind.indexes {
		t.unindex(i, key, index(old), nil)
	}
}

// unindex drops the values that are not kept.
func (t *table[T]) unindex(i int, key string, values, keep []string) {
	for _, value := range values {
		if !slices.Contains(keep, value) {
			t.txn.indexes[i].Delete(indexKey(value, key))
		}
	}
}

func (t *table[T]) write() {
	if !t.open {
		panic("state: the " + string(t.kind.name) + " table of a State was written to")
	}
	if t.txn != nil {
		return
	}
	t.txn = &writing[T]{rows: t.rows.Txn(), size: t.rows.Len()}
	for _, index := range t.indexes {
		t.txn.indexes = append(t.txn.indexes, index.Txn())
	}
}

func indexKey(value, key string) []byte {
	k := make([]byte, 0, len(value)+1+len(key))
	k = append(k, value...)
	k = append(k, 0)
	return append(k, key...)
}
