package slot

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
)

// Slot is one place of a service and the tasks that had it.
type Slot struct {
	// Number counts from 1.
	Number uint32
	// Tasks are those not to be removed, the newest first; there is at least one.
	Tasks []*clusterpb.Task
}

// Group sorts tasks of one service into slots, ordered by number. Tasks that
// are to be removed have left their slot.
func Group(tasks iter.Seq[*clusterpb.Task]) []Slot {
	byNumber := make(map[uint32][]*clusterpb.Task)
	for t := range tasks {
		if t.GetDesired() < lifecycle.Remove {
			byNumber[t.GetSlot()] = append(byNumber[t.GetSlot()], t)
		}
	}
	slots := make([]Slot, 0, len(byNumber))
	for _, n := range slices.Sorted(maps.Keys(byNumber)) {
		slices.SortFunc(byNumber[n], lifecycle.NewestFirst)
		slots = append(slots, Slot{Number: n, Tasks: byNumber[n]})
	}
	return slots
}

// Newest returns the task created last.
func (s Slot) Newest() *clusterpb.Task { return s.Tasks[0] }

// Wanted returns the tasks that should run now or later, the newest first.
func (s Slot) Wanted() (out []*clusterpb.Task) {
	for _, t := range s.Tasks {
		if lifecycle.Wanted(t) {
			out = append(out, t)
		}
	}
	return out
}

// WithoutCanaries returns the slot without the tasks that only run beside its own.
func (s Slot) WithoutCanaries() Slot {
	own := Slot{Number: s.Number}
	for _, t := range s.Tasks {
		if !t.GetCanary() {
			own.Tasks = append(own.Tasks, t)
		}
	}
	return own
}

// Serving returns a task of the slot that takes connections, or nil.
func (s Slot) Serving() *clusterpb.Task {
	for _, t := range s.Tasks {
		if lifecycle.Serving(t) {
			return t
		}
	}
	return nil
}

// Find returns the slot's task with that id, or nil.
func (s Slot) Find(id string) *clusterpb.Task {
	for _, t := range s.Tasks {
		if t.GetId() == id {
			return t
		}
	}
	return nil
}

// Cause says in words why a task ended. What it was waiting for is why the one
// before it did.
func Cause(t *clusterpb.Task) string {
	status := t.GetStatus()
	switch {
	case status.GetErr() != "" && status.GetErr() != t.GetDesiredReason():
		return status.GetErr()
	case pod.MainStatus(status).GetOomKilled():
		return "out of memory"
	case pod.MainStatus(status) != nil:
		return fmt.Sprintf("exit status %d", pod.MainStatus(status).GetExitCode())
	}
	return lifecycle.Name(status.GetState())
}
