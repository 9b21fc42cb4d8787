package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// explain says why no node can take a task of the group.
func (g *group) explain() string {
	if g.broken != nil {
		return g.broken.Error()
	}
	if len(g.refused) == 0 {
		return "no suitable node: the cluster has none"
	}
	reasons := slices.SortedFunc(maps.Keys(g.refused), func(a, b reason) int {
		return cmp.Or(cmp.Compare(g.refused[b], g.refused[a]), cmp.Compare(a, b))
	})
	parts := make([]string, len(reasons))
	for i, r := range reasons {
		nodes := "1 node"
		if n := g.refused[r]; n != 1 {
			nodes = fmt.Sprintf("%d nodes", n)
		}
		parts[i] = fmt.Sprintf(string(r), nodes)
	}
	return "no suitable node (" + strings.Join(parts, "; ") + ")"
}

// oldest is when the first task of the group was created.
func oldest(g *group) time.Time {
	first := g.tasks[0].GetCreatedAt().AsTime()
	for _, t := range g.tasks[1:] {
		if at := t.GetCreatedAt().AsTime(); at.Before(first) {
			first = at
		}
	}
	return first
}
