package state

import (
	"iter"
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// table is an immutable set of objects, found by key or by a secondary index.
// Its copies share all they can, so taking one is free.
type table[T any] struct {
	def     *definition[T]
	rows    *iradix.Tree[T]
	indexes []*iradix.Tree[T] // one per definition.indexes
}

// definition says how the objects of a table are found.
type definition[T any] struct {
	// key is unique and never changes; it must not contain a zero byte.
	key func(T) string
	// indexes each map an object to the values it is found by, none to leave
	// it out. Several objects may have the same value.
	indexes []func(T) []string
}

func newTable[T any](def *definition[T]) table[T] {
	t := table[T]{def: def, rows: iradix.New[T]()}
	for range def.indexes {
		t.indexes = append(t.indexes, iradix.New[T]())
	}
	return t
}

func (t table[T]) get(key string) (T, bool) { return t.rows.Get([]byte(key)) }

func (t table[T]) len() int { return t.rows.Len() }

// all yields every object, ordered by key.
func (t table[T]) all() iter.Seq[T] { return under(t.rows.Root(), "") }

// with yields the objects that have value in the index, ordered by key.
func (t table[T]) with(index int, value string) iter.Seq[T] {
	return under(t.indexes[index].Root(), value+"\x00")
}

// values yields the distinct values of the index in order.
func (t table[T]) values(index int) iter.Seq[string] {
	return func(yield func(string) bool) {
		last, some := "", false
		it := t.indexes[index].Root().Iterator()
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

// tableTx builds the table that follows base. It copies nothing until the
// first write, so a command pays only for the tables it changes.
type tableTx[T any] struct {
	base    table[T]
	rows    *iradix.Txn[T] // nil until the first write
	indexes []*iradix.Txn[T]
	size    int
}

func (t table[T]) begin() tableTx[T] { return tableTx[T]{base: t} }

func (x *tableTx[T]) get(key string) (T, bool) {
	if x.rows == nil {
		return x.base.get(key)
	}
	return x.rows.Get([]byte(key))
}

// len is how many objects there are now.
func (x *tableTx[T]) len() int {
	if x.rows == nil {
		return x.base.len()
	}
	return x.size
}

// all yields every object as it is now; do not write while ranging.
func (x *tableTx[T]) all() iter.Seq[T] {
	if x.rows == nil {
		return x.base.all()
	}
	return under(x.rows.Root(), "")
}

// with yields the objects that have value in the index; do not write while
// ranging.
func (x *tableTx[T]) with(index int, value string) iter.Seq[T] {
	if x.rows == nil {
		return x.base.with(index, value)
	}
	return under(x.indexes[index].Root(), value+"\x00")
}

// put inserts the object or replaces the one with its key.
func (x *tableTx[T]) put(v T) {
	x.write()
	key := x.base.def.key(v)
	old, replaced := x.rows.Insert([]byte(key), v)
	if !replaced {
		x.size++
	}
	for i, index := range x.base.def.indexes {
		values := index(v)
		if replaced {
			x.unindex(i, key, index(old), values)
		}
		for _, value := range values {
			x.indexes[i].Insert(indexKey(value, key), v)
		}
	}
}

// delete removes the object with that key, if there is one.
func (x *tableTx[T]) delete(key string) {
	x.write()
	old, ok := x.rows.Delete([]byte(key))
	if !ok {
		return
	}
	x.size--
	for i, index := range x.base.def.indexes {
		x.unindex(i, key, index(old), nil)
	}
}

// unindex drops the values that are not kept.
func (x *tableTx[T]) unindex(i int, key string, values, keep []string) {
	for _, value := range values {
		if !slices.Contains(keep, value) {
			x.indexes[i].Delete(indexKey(value, key))
		}
	}
}

func (x *tableTx[T]) write() {
	if x.rows != nil {
		return
	}
	x.rows, x.size = x.base.rows.Txn(), x.base.len()
	for _, index := range x.base.indexes {
		x.indexes = append(x.indexes, index.Txn())
	}
}

func (x *tableTx[T]) commit() table[T] {
	if x.rows == nil {
		return x.base
	}
	t := table[T]{def: x.base.def, rows: x.rows.CommitOnly()}
	for _, index := range x.indexes {
		t.indexes = append(t.indexes, index.CommitOnly())
	}
	return t
}

func indexKey(value, key string) []byte {
	k := make([]byte, 0, len(value)+1+len(key))
	k = append(k, value...)
	k = append(k, 0)
	return append(k, key...)
}
