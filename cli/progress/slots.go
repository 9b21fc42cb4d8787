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
		list = append(list, slot(number, svc, bySlot[number], current, now))
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
// have not asked to stop, whatever their numbers are after the service was
// scaled down; and while these are too few, those whose tasks have not ended,
// then the lowest.
func numbers(replicas int, bySlot map[uint32][]*clusterpb.Task) (list []uint32) {
	var rest []uint32
	for number, tasks := range bySlot {
		if slices.ContainsFunc(tasks, func(t *clusterpb.Task) bool { return t.GetDesired() <= lifecycle.Running }) {
			list = append(list, number)
		} else if slices.ContainsFunc(tasks, func(t *clusterpb.Task) bool { return !lifecycle.Ended(t.GetStatus().GetState()) }) {
			rest = append(rest, number)
		}
	}
	slices.Sort(rest)
	for number := uint32(1); len(rest) < replicas; number++ {
		if !slices.Contains(list, number) && !slices.Contains(rest, number) {
			rest = append(rest, number)
		}
	}
	if missing := replicas - len(list); missing > 0 {
		list = append(list, rest[:missing]...)
	}
	slices.Sort(list)
	return list
}

// slot tells what a slot does by the task that matters most in it.
func slot(number uint32, svc *clusterpb.Service, tasks []*clusterpb.Task, current func(*clusterpb.Task) bool, now time.Time) Slot {
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
		s.Done = lifecycle.Ended(s.State) && final(svc, t)
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
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	if newer(a, b) {
		return -1
	}
	return 1
}

// final reports whether the restart policy leaves a task that ended alone.
func final(svc *clusterpb.Service, t *clusterpb.Task) bool {
	policy := svc.GetSpec().GetTask().GetRestart()
	switch policy.GetCondition() {
	case clusterpb.RestartPolicy_CONDITION_NONE:
		return true
	case clusterpb.RestartPolicy_CONDITION_ON_FAILURE:
		if t.GetStatus().GetState() == lifecycle.Complete {
			return true
		}
	case clusterpb.RestartPolicy_CONDITION_ANY, clusterpb.RestartPolicy_CONDITION_UNSPECIFIED:
	}
	return policy.GetMaxAttempts() > 0 && t.GetAttempt() >= policy.GetMaxAttempts()
}

// lastFailure is the newest task of a slot that failed before t.
func lastFailure(tasks []*clusterpb.Task, t *clusterpb.Task) (last *clusterpb.Task) {
	for _, other := range tasks {
		if other != t && failed(other) && newer(t, other) && (last == nil || newer(other, last)) {
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
