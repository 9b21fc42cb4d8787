package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// row is found by id and by its colours.
type row struct {
	id      string
	colours []string
}

func rows() table[*row] {
	return newTable(&kind[*row]{
		key:     func(r *row) string { return r.id },
		indexes: []func(*row) []string{func(r *row) []string { return r.colours }},
	})
}

func ids(seq func(func(*row) bool)) []string {
	out := []string{}
	for r := range seq {
		out = append(out, r.id)
	}
	return out
}

// TestTableAgreesWithAMap compares a table with the plainest thing that does
// the same, before and after commits, and old tables with what they were.
func TestTableAgreesWithAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	colours := []string{"", "red", "reddish", "green", "blue"}
	naive := make(map[string]*row)
	tab := rows()
	for range 300 {
		old, was := tab, ids(tab.all())
		tx := tab
		tx.begin()
		for range 1 + rng.IntN(8) {
			id := fmt.Sprintf("r%d", rng.IntN(30))
			if rng.IntN(3) == 0 {
				tx.delete(id)
				delete(naive, id)
				continue
			}
			r := &row{id: id}
			for _, c := range rng.Perm(len(colours))[:rng.IntN(3)] {
				r.colours = append(r.colours, colours[c])
			}
			tx.put(r)
			naive[id] = r
		}
		if tx.len() != len(naive) {
			t.Fatalf("transaction counts %d, want %d", tx.len(), len(naive))
		}
		check := func(what string, want []string, got []string) {
			t.Helper()
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s (-want +got):\n%s", what, d)
			}
		}
		check("in transaction", slices.Sorted(maps.Keys(naive)), ids(tx.all()))
		for _, c := range colours {
			check("in transaction: "+c, withColour(naive, c), ids(tx.with(0, c)))
		}
		tx.commit()
		tab = tx
		check("committed", slices.Sorted(maps.Keys(naive)), ids(tab.all()))
		for _, key := range []string{"", "r1", "r15", "r151", "s"} {
			check("after "+key, idsAbove(key, slices.Sorted(maps.Keys(naive))), ids(tab.after(key)))
			check("red after "+key, idsAbove(key, withColour(naive, "red")), ids(tab.withAfter(0, "red", key)))
		}
		used := []string{}
		for _, c := range slices.Sorted(slices.Values(colours)) {
			check("committed: "+c, withColour(naive, c), ids(tab.with(0, c)))
			if len(withColour(naive, c)) > 0 {
				used = append(used, c)
			}
		}
		check("values", used, append([]string{}, slices.Collect(tab.values(0))...))
		check("the table before", was, ids(old.all()))
	}
}

func idsAbove(key string, ids []string) []string {
	return slices.DeleteFunc(ids, func(id string) bool { return id <= key })
}

func withColour(rows map[string]*row, colour string) []string {
	ids := []string{}
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		if slices.Contains(rows[id].colours, colour) {
			ids = append(ids, id)
		}
	}
	return ids
}
