package report

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
)

func status(s clusterpb.TaskState, message string) *clusterpb.TaskStatus {
	return &clusterpb.TaskStatus{State: s, Message: message}
}

func format(b *dispatchpb.ReportStatuses) string {
	if b == nil {
		return "nothing"
	}
	var w []string
	for _, r := range b.GetReports() {
		w = append(w, r.GetTaskId()+":"+lifecycle.Name(r.GetStatus().GetState()))
	}
	return fmt.Sprintf("%d %s", b.GetSequence(), strings.Join(w, " "))
}

func wantBatch(t *testing.T, q *Queue, want string) {
	t.Helper()
	if got := format(q.Batch()); got != want {
		t.Errorf("batch = %q, want %q", got, want)
	}
}

func TestQueue(t *testing.T) {
	q := New(func() {})
	wantBatch(t, q, "nothing")
	q.Put("b", status(lifecycle.Preparing, ""))
	q.Put("b", status(lifecycle.Running, ""))
	q.Put("a", status(lifecycle.Failed, "first"))
	q.Put("a", status(lifecycle.Shutdown, "ended is final"))
	wantBatch(t, q, "1 a:failed b:running")
	wantBatch(t, q, "nothing") // on its way

	q.Put("b", status(lifecycle.Complete, ""))
	wantBatch(t, q, "2 b:complete")
	q.Recorded(1) // a is; b's newer status went out later
	q.Resend()
	wantBatch(t, q, "3 b:complete")
	q.Recorded(3)
	q.Resend()
	wantBatch(t, q, "nothing")

	q.Put("c", status(lifecycle.Running, ""))
	q.Forget("c")
	wantBatch(t, q, "nothing")
}

// TestQueueLosesNoEnd puts, sends, loses sessions and records at random: in
// the end every task's last state has been recorded, and none went backwards.
func TestQueueLosesNoEnd(t *testing.T) {
	states := []clusterpb.TaskState{
		lifecycle.Accepted, lifecycle.Preparing, lifecycle.Ready,
		lifecycle.Starting, lifecycle.Running, lifecycle.Failed, lifecycle.Shutdown,
	}
	rapid.Check(t, func(t *rapid.T) {
		q := New(func() {})
		highest := map[string]clusterpb.TaskState{} // what a task reached
		recorded := map[string]clusterpb.TaskState{}
		var sent []*dispatchpb.ReportStatuses // in this session
		record := func() {
			for _, b := range sent {
				for _, r := range b.GetReports() {
					s := r.GetStatus().GetState()
					if s < recorded[r.GetTaskId()] {
						t.Fatalf("task %s was reported backwards", r.GetTaskId())
					}
					recorded[r.GetTaskId()] = s
				}
				q.Recorded(b.GetSequence())
			}
			sent = nil
		}
		send := func() {
			if b := q.Batch(); b != nil {
				sent = append(sent, b)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "task")
				s := rapid.SampledFrom(states).Draw(t, "state")
				if !lifecycle.Advances(highest[id], s) {
					t.Skip("tasks only move forward")
				}
				highest[id] = s
				q.Put(id, status(s, ""))
			},
			"send":   func(*rapid.T) { send() },
			"record": func(*rapid.T) { record() },
			"lose":   func(*rapid.T) { sent = nil; q.Resend() },
		})
		q.Resend()
		sent = nil
		send()
		record()
		for id, s := range highest {
			if recorded[id] != s {
				t.Fatalf("task %s ended as %v but %v was recorded", id, s, recorded[id])
			}
		}
		if q.Len() != 0 {
			t.Fatalf("%d statuses are left", q.Len())
		}
	})
}
