package logbroker

import (
	"container/heap"
	"time"

	logspb "github.com/muster/muster/proto/logs/v1"
)

const (
	// windowTime is how long a message waits for earlier ones of other tasks.
	windowTime = 200 * time.Millisecond
	// windowSize is how many wait at most.
	windowSize = 4096
)

// window puts messages of many tasks in order of time, as far as they come
// within a short time of each other. Messages of the same time keep the order
// they came in.
type window struct {
	heap   messageHeap
	serial uint64
}

type held struct {
	*logspb.LogMessage
	arrived time.Time
	serial  uint64
}

// add takes messages and returns those that no longer fit, oldest first.
func (w *window) add(now time.Time, messages []*logspb.LogMessage) (out []*logspb.LogMessage) {
	for _, m := range messages {
		w.serial++
		heap.Push(&w.heap, held{m, now, w.serial})
		if len(w.heap) > windowSize {
			out = append(out, w.pop())
		}
	}
	return out
}

// due returns what has waited long enough, and what comes before that.
func (w *window) due(now time.Time) (out []*logspb.LogMessage) {
	waits := 0
	for _, h := range w.heap {
		if now.Sub(h.arrived) >= windowTime {
			waits++
		}
	}
	for waits > 0 {
		if now.Sub(w.heap[0].arrived) >= windowTime {
			waits--
		}
		out = append(out, w.pop())
	}
	return out
}

// all empties the window.
func (w *window) all() (out []*logspb.LogMessage) {
	for len(w.heap) > 0 {
		out = append(out, w.pop())
	}
	return out
}

// wait returns how long until something is due.
func (w *window) wait(now time.Time) time.Duration {
	wait := time.Hour
	for _, h := range w.heap {
		wait = min(wait, windowTime-now.Sub(h.arrived))
	}
	return max(wait, 0)
}

func (w *window) pop() *logspb.LogMessage { return heap.Pop(&w.heap).(held).LogMessage } //nolint:forcetypeassert // what Push puts in

// messageHeap implements heap.Interface.
type messageHeap []held

func (h messageHeap) Len() int      { return len(h) }
func (h messageHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h messageHeap) Less(i, j int) bool {
	a, b := h[i].GetAt().AsTime(), h[j].GetAt().AsTime()
	if !a.Equal(b) {
		return a.Before(b)
	}
	return h[i].serial < h[j].serial
}

func (h *messageHeap) Push(x any) { *h = append(*h, x.(held)) } //nolint:forcetypeassert // heap.Interface has no types

func (h *messageHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
