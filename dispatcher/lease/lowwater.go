package lease

import (
	"slices"
	"time"
)

// goodbyeCounts is how long a node that said good-bye still counts for the
// low-water mark: its kernel goes on forwarding what it forwarded before.
const goodbyeCounts = 10 * time.Second

// LowWaterMark returns the lowest index that the kernels of all live nodes
// hold; index if there are none. held tells, of a connected node, the index it
// is known to be at. A node without a session counts for as long as its lease,
// since its kernel goes on forwarding: what a killed node still does not hold,
// its lease's end settles.
func (l *Table) LowWaterMark(index uint64, now time.Time, held func(id string) (uint64, bool)) uint64 {
	mark := index
	for id, n := range l.nodes {
		at, ok := held(id)
		switch {
		case ok:
		case !n.left.IsZero() && now.Sub(n.left) > goodbyeCounts:
			continue
		default:
			at = n.acked
		}
		mark = min(mark, at)
	}
	return mark
}

// Owes reports whether a rise of the low-water mark from told, which is what a
// node heard last, to mark is what one of the awaited indexes waits for.
func Owes(awaited []uint64, told, mark uint64) bool {
	return slices.ContainsFunc(awaited, func(index uint64) bool { return told < index && index <= mark })
}
