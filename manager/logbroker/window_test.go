package logbroker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	logspb "github.com/muster/muster/proto/logs/v1"
)

func line(task string, second int) *logspb.LogMessage {
	return &logspb.LogMessage{TaskId: task, At: timestamppb.New(time.Unix(int64(second), 0)), Data: fmt.Appendf(nil, "%s%d", task, second)}
}

func text(messages []*logspb.LogMessage) string {
	var w []string
	for _, m := range messages {
		w = append(w, string(m.GetData()))
	}
	return strings.Join(w, " ")
}

func TestWindow(t *testing.T) {
	var w window
	now := time.Unix(1000, 0)
	if out := w.add(now, []*logspb.LogMessage{line("a", 1), line("a", 4)}); len(out) != 0 {
		t.Errorf("emitted %q at once", text(out))
	}
	w.add(now.Add(100*time.Millisecond), []*logspb.LogMessage{line("b", 2), line("b", 5)})
	if got := w.wait(now.Add(150 * time.Millisecond)); got != 50*time.Millisecond {
		t.Errorf("due in %v, want 50ms", got)
	}
	// b2 has not waited as long as a4, but comes before it.
	if got := text(w.due(now.Add(200 * time.Millisecond))); got != "a1 b2 a4" {
		t.Errorf("due: %q, want a1 b2 a4", got)
	}
	if got := text(w.due(now.Add(200 * time.Millisecond))); got != "" {
		t.Errorf("due again: %q", got)
	}
	w.add(now, []*logspb.LogMessage{line("c", 5)})
	if got := text(w.all()); got != "b5 c5" {
		t.Errorf("all: %q, want the same time in order of arrival", got)
	}
}

func TestWindowIsBounded(t *testing.T) {
	var w window
	out := 0
	for i := range 3 * windowSize {
		out += len(w.add(time.Unix(0, 0), []*logspb.LogMessage{line("a", i)}))
	}
	if len(w.heap) != windowSize || out != 2*windowSize {
		t.Errorf("%d wait and %d went out, want %d and %d", len(w.heap), out, windowSize, 2*windowSize)
	}
}
