package progress

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// slots tells what each slot of svc does, then what its canaries do.
func slots(svc *clusterpb.Service, tasks []*clusterpb.Task, current func(*clusterpb.Task) bool, now time.Time) []Slot {
	bySlot := make(map[uint32][]*clusterpb.Task)
	var canaries []*clusterpb.Task
	for _, t := range tasks {
		if t.GetCanary() && lifecycle.Wanted(t) {
			canaries = append(canaries, t)
			continue
		}
		bySlot[t.GetSlot()] = append(bySlot[t.GetSlot()], t)
	}
	var list []Slot
	for _, number := range numbers(int(svc.GetSpec().GetReplicated().GetReplicas()), bySlot) {
		list = append(list, slot(number, bySlot[number], current, now))
	}
	slices.SortFunc(canaries, func(a, b *clusterpb.Task) int { return cmp.Compare(a.GetSlot(), b.GetSlot()) })
	for _, t := range canaries {
		list = append(list, Slot{
			Number: t.GetSlot(), Canary: true, TaskID: t.GetId(), NodeID: t.GetNodeId(),
			State: t.GetStatus().GetState(), Reason: reason(t, nil, now),
			Done: t.GetStatus().GetState() == lifecycle.Running,
		})
	}
	return list
}

// numbers returns which slots count, in order: those with a task that managers
// have not asked to stop, or given up, whatever their numbers are after the
// service was scaled down; and while these are too few, those whose tasks have
// not ended, then the lowest.
func numbers(replicas int, bySlot map[uint32][]*clusterpb.Task) (list []uint32) {
	var rest []uint32
	for number, tasks := range bySlot {
		if slices.ContainsFunc(tasks, func(t *clusterpb.Task) bool { return t.GetDesired() <= lifecycle.Running }) || givenUp(tasks) != nil {
			list = append(list, number)
		} else if slices.ContainsFunc(tasks, func(t *clusterpb.Task) bool { return !lifecycle.Ended(t.GetStatus().GetState()) }) {
			rest = append(rest, number)
		}
	}
	slices.Sort(rest)
	missing := max(0, replicas-len(list))
	taken := make(map[uint32]struct{})
	for _, number := range slices.Concat(list, rest) {
		taken[number] = struct{}{}
	}
	for number := uint32(1); len(rest) < missing; number++ {
		if _, ok := taken[number]; !ok {
			rest = append(rest, number)
		}
	}
	list = append(list, rest[:missing]...)
	slices.Sort(list)
	return list
}

// slot tells what a slot does by the task that matters most in it.
func slot(number uint32, tasks []*clusterpb.Task, current func(*clusterpb.Task) bool, now time.Time) Slot {
	if len(tasks) == 0 {
		return Slot{Number: number, State: lifecycle.New, Reason: "no task yet"}
	}
	t := slices.MinFunc(tasks, func(a, b *clusterpb.Task) int { return matters(a, b, current) })
	s := Slot{
		Number: number, TaskID: t.GetId(), NodeID: t.GetNodeId(), State: t.GetStatus().GetState(),
		Reason: reason(t, lastFailure(tasks, t), now),
		Before: slices.ContainsFunc(tasks, func(t *clusterpb.Task) bool { return lifecycle.Serving(t) && !current(t) }),
	}
	switch {
	case s.State == lifecycle.Running && t.GetDesired() > lifecycle.Running:
		s.Reason = "is asked to stop"
	case !current(t):
		s.Reason = "waits for its turn"
	case lifecycle.Serving(t):
		s.Done, s.Reason = true, ""
	default:
		s.Done = t == givenUp(tasks)
	}
	return s
}

// matters orders the tasks of a slot: what runs what was asked for before the
// rest, what is wanted before what ended, the newest first.
func matters(a, b *clusterpb.Task, current func(*clusterpb.Task) bool) int {
	rank := func(t *clusterpb.Task) (n int) {
		if lifecycle.Wanted(t) {
			n -= 2
		}
		if current(t) {
			n--
		}
		return n
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), lifecycle.NewestFirst(a, b))
}

// givenUp returns the newest task of a slot if managers let it be as it ended:
// they ask no more for it, and none follows.
func givenUp(tasks []*clusterpb.Task) *clusterpb.Task {
	last := slices.MinFunc(tasks, lifecycle.NewestFirst)
	if lifecycle.EndedByItself(last.GetStatus().GetState()) && last.GetDesired() == lifecycle.Shutdown && !lifecycle.Asked(last) {
		return last
	}
	return nil
}

// lastFailure is the newest task of a slot that failed before t.
func lastFailure(tasks []*clusterpb.Task, t *clusterpb.Task) (last *clusterpb.Task) {
	for _, other := range tasks {
		older := lifecycle.NewestFirst(t, other) < 0
		if older && lifecycle.IsFailure(other.GetStatus().GetState()) && (last == nil || lifecycle.NewestFirst(other, last) < 0) {
			last = other
		}
	}
	return last
}

// reason says why t does not run, or what it does, and what its predecessor
// died of.
func reason(t, died *clusterpb.Task, now time.Time) string {
	status := t.GetStatus()
	text := cmp.Or(status.GetErr(), status.GetMessage())
	if wait := t.GetStartAfter().AsTime().Sub(now); t.GetStartAfter() != nil && wait > 0 && status.GetState() <= lifecycle.Ready {
		text = fmt.Sprintf("restarts in %s", wait.Round(time.Second))
	}
	if died == nil || status.GetState() >= lifecycle.Running {
		return text
	}
	if text != "" {
		text += ", "
	}
	return text + "the last one failed: " + cmp.Or(died.GetStatus().GetErr(), "no reason given")
}
