// Package report keeps what a node observed of its tasks until managers have
// written it down.
package report

import (
	"cmp"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// Queue holds at most one status per task: the newest, which says all that
// the ones before it said, since observed state only grows. A state that has
// ended is never replaced and only leaves once it is recorded or its task is
// forgotten, so memory is bounded by the number of tasks. It is safe for use
// by several goroutines.
type Queue struct {
	wake func()

	mu       sync.Mutex
	sequence uint64 // of the last batch
	entries  map[string]*entry
}

// entry is a status that is not known to be recorded.
type entry struct {
	status *clusterpb.TaskStatus
	// sentIn is the sequence of the batch it went out in; 0 when it waits.
	sentIn uint64
}

// New returns an empty queue. It calls wake, which must not block, when there
// may be something to send.
func New(wake func()) *Queue { return &Queue{wake: wake, entries: make(map[string]*entry)} }

// Put queues a status, which the caller must not change afterwards. A status
// that is behind the one that waits is dropped.
func (q *Queue) Put(taskID string, status *clusterpb.TaskStatus) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.entries[taskID]; e != nil {
		if !lifecycle.Advances(e.status.GetState(), status.GetState()) || proto.Equal(e.status, status) {
			return
		}
	}
	q.entries[taskID] = &entry{status: status}
	q.wake()
}

// Forget drops what is known of a task that managers no longer know.
func (q *Queue) Forget(taskID string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.entries, taskID)
}

// Batch returns what waits to be sent, in order of task ids, and nil when
// nothing does.
func (q *Queue) Batch() *dispatchpb.ReportStatuses {
	q.mu.Lock()
	defer q.mu.Unlock()
	var reports []*dispatchpb.TaskReport
	for id, e := range q.entries {
		if e.sentIn == 0 {
			e.sentIn = q.sequence + 1
			reports = append(reports, &dispatchpb.TaskReport{TaskId: id, Status: e.status})
		}
	}
	if len(reports) == 0 {
		return nil
	}
	q.sequence++
	slices.SortFunc(reports, func(a, b *dispatchpb.TaskReport) int { return cmp.Compare(a.GetTaskId(), b.GetTaskId()) })
	return &dispatchpb.ReportStatuses{Sequence: q.sequence, Reports: reports}
}

// Recorded drops what went out in batches up to sequence: it is replicated.
func (q *Queue) Recorded(sequence uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, e := range q.entries {
		if e.sentIn != 0 && e.sentIn <= sequence {
			delete(q.entries, id)
		}
	}
}

// Resend lets everything that is not recorded be sent again: the session it
// went out in is gone.
func (q *Queue) Resend() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		e.sentIn = 0
	}
	q.wake()
}

// Len returns how many statuses are not recorded.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries)
}
