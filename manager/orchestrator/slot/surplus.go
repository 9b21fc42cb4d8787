package slot

import (
	"cmp"
	"slices"
)

// Surplus picks which slots go when only keep may stay, in Swarm's order:
// those that serve nothing first, then those on the node with most of the
// service's serving slots, then the higher numbers.
func Surplus(slots []Slot, keep uint32) (gone []Slot) {
	excess := len(slots) - int(keep)
	if excess <= 0 {
		return nil
	}
	var idle []Slot
	perNode := make(map[string][]Slot) // each ordered by number, as slots are
	for _, s := range slots {
		if t := s.Serving(); t != nil {
			perNode[t.GetNodeId()] = append(perNode[t.GetNodeId()], s)
		} else {
			idle = append(idle, s)
		}
	}
	slices.Reverse(idle)
	gone = append(gone, idle[:min(excess, len(idle))]...)
	for len(gone) < excess {
		fullest := ""
		for node, on := range perNode {
			if fullest == "" || fuller(on, perNode[fullest]) {
				fullest = node
			}
		}
		on := perNode[fullest]
		gone = append(gone, on[len(on)-1])
		perNode[fullest] = on[:len(on)-1]
		if len(on) == 1 {
			delete(perNode, fullest)
		}
	}
	return gone
}

// fuller orders nodes by how many slots they serve, then by the highest number.
func fuller(a, b []Slot) bool {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a[len(a)-1].Number, b[len(b)-1].Number)) > 0
}
