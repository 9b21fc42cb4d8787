package task

import (
	"fmt"
	"iter"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// TestMergeTakesWhatIsAskedFor: the first page of the tasks of very many owners
// costs a page, and not a page of each.
func TestMergeTakesWhatIsAskedFor(t *testing.T) {
	const owners, each, page = 1000, 20, 1001
	var names []string
	for i := range owners {
		names = append(names, fmt.Sprint(i))
	}
	taken := 0
	of := func(owner string) iter.Seq[*clusterpb.Task] {
		return func(yield func(*clusterpb.Task) bool) {
			for i := range each {
				taken++
				if !yield(&clusterpb.Task{Id: fmt.Sprintf("%03d-%s", i, owner)}) {
					return
				}
			}
		}
	}
	got, last := 0, ""
	for task := range merge(names, of) {
		if task.GetId() <= last {
			t.Fatalf("%s comes after %s", task.GetId(), last)
		}
		last = task.GetId()
		if got++; got == page {
			break
		}
	}
	if taken > owners+page {
		t.Errorf("%d tasks were taken for a page of %d", taken, page)
	}
	all := 0
	for range merge(names, of) {
		all++
	}
	if all != owners*each {
		t.Errorf("%d tasks of %d", all, owners*each)
	}
}
