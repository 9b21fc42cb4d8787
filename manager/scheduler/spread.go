package scheduler

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"

	"github.com/muster/muster/proto/constraint"
)

// seat is a node as one group sees it.
type seat struct {
	host    *host
	copies  int
	failing bool
}

// before is Swarm's order within a branch: nodes where the service keeps
// failing last, then the fewest tasks of the service, then the fewest tasks.
// The id settles the rest, so that all leaders would choose alike.
func (s *seat) before(o *seat) bool {
	if s.failing != o.failing {
		return o.failing
	}
	return cmp.Or(
		cmp.Compare(s.copies, o.copies),
		cmp.Compare(s.host.tasks, o.host.tasks),
		cmp.Compare(s.host.node.GetId(), o.host.node.GetId()),
	) < 0
}

// seats is a heap, the best seat on top.
type seats []*seat

func (s seats) Len() int           { return len(s) }
func (s seats) Less(i, j int) bool { return s[i].before(s[j]) }
func (s seats) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *seats) Push(x any)        { *s = append(*s, x.(*seat)) } //nolint:forcetypeassert // heap.Interface has no types
func (s *seats) Pop() any {
	old := *s
	last := old[len(old)-1]
	*s = old[:len(old)-1]
	return last
}

// branch is a part of the nodes that share the values of the preferences so
// far: it holds branches for the values of the next one, or seats at the end.
// Nodes that lack a label form a branch of their own.
type branch struct {
	copies   int // tasks of the service on all nodes below
	inner    bool
	children []*branch
	byValue  map[string]*branch
	seats    seats
}

func newBranch(inner bool) *branch {
	b := &branch{inner: inner}
	if inner {
		b.byValue = make(map[string]*branch)
	}
	return b
}

// add puts a seat under the values that its node has for keys.
func (b *branch) add(s *seat, keys []string) {
	b.copies += s.copies
	if !b.inner {
		b.seats = append(b.seats, s)
		return
	}
	value := constraint.Attribute(s.host.node, keys[0])
	child := b.byValue[value]
	if child == nil {
		child = newBranch(len(keys) > 1)
		b.byValue[value] = child
	}
	child.add(s, keys[1:])
}

// settle arranges what was added.
func (b *branch) settle() {
	for _, value := range slices.Sorted(maps.Keys(b.byValue)) {
		child := b.byValue[value]
		child.settle()
		b.children = append(b.children, child)
	}
	heap.Init(&b.seats)
}

// leaf follows the branch with the fewest copies at each preference, among
// those with seats left.
func (b *branch) leaf() *branch {
	if !b.inner {
		if len(b.seats) == 0 {
			return nil
		}
		return b
	}
	// The children with fewer copies first; a handful, so sorting costs little.
	slices.SortStableFunc(b.children, func(x, y *branch) int { return cmp.Compare(x.copies, y.copies) })
	for _, child := range b.children {
		if l := child.leaf(); l != nil {
			return l
		}
	}
	return nil
}

// best returns the seat whose turn it is, or nil when none is left.
func (b *branch) best() *seat {
	l := b.leaf()
	if l == nil {
		return nil
	}
	return l.seats[0]
}

// drop takes the best seat away.
func (b *branch) drop() {
	if l := b.leaf(); l != nil {
		heap.Pop(&l.seats)
	}
}

// placed tells that a task went to h, the best seat unless it was inherited.
func (b *branch) placed(h *host) {
	path := b.path()
	if len(path) == 0 {
		return
	}
	l := path[len(path)-1]
	if l.seats[0].host != h {
		return
	}
	for _, on := range path {
		on.copies++
	}
	l.seats[0].copies++
	heap.Fix(&l.seats, 0)
}

// path returns the branches from b to the leaf whose turn it is.
func (b *branch) path() []*branch {
	if !b.inner {
		return []*branch{b}[:min(1, len(b.seats))]
	}
	b.leaf() // sorts the children
	for _, child := range b.children {
		if p := child.path(); len(p) > 0 {
			return append([]*branch{b}, p...)
		}
	}
	return nil
}
