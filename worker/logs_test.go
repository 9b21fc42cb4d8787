package worker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/logmerge"
	logspb "github.com/muster/muster/proto/logs/v1"
)

// logsFunc implements Logs.
type logsFunc func(ctx context.Context, taskID string, opts *logspb.LogOptions, f func(*logspb.LogMessage) error) error

func (f logsFunc) Read(ctx context.Context, taskID string, opts *logspb.LogOptions, emit func(*logspb.LogMessage) error) error {
	return f(ctx, taskID, opts, emit)
}

func TestLogsArePublished(t *testing.T) {
	on(t, func(m *machine) {
		m.stop()
		m.logs = logsFunc(func(ctx context.Context, taskID string, opts *logspb.LogOptions, f func(*logspb.LogMessage) error) error {
			if taskID == "t2" {
				return fmt.Errorf("no logs of it")
			}
			for i := range 3 {
				if err := f(&logspb.LogMessage{TaskId: taskID, Data: fmt.Append(nil, i, opts.GetTail())}); err != nil {
					return err
				}
			}
			if opts.GetFollow() {
				<-ctx.Done()
			}
			return nil
		})
		m.start()
		if err := m.manager.AskLogs("n1", &dispatchpb.LogSubscription{Id: "s", TaskIds: []string{"t1", "t2"}, Options: &logspb.LogOptions{Tail: 7}}); err != nil {
			t.Fatal(err)
		}
		m.settle()
		lines, failed := 0, ""
		for _, p := range m.manager.Published() {
			if p.GetSubscriptionId() != "s" {
				t.Errorf("subscription %q", p.GetSubscriptionId())
			}
			lines += len(p.GetMessages())
			failed += p.GetErr()
		}
		if lines != 3 || failed != "task t2: no logs of it" {
			t.Errorf("%d lines and error %q", lines, failed)
		}
	})
}

// reading is a log of one line a task that is followed until its reader ends.
type reading struct{ now atomic.Int32 }

func (r *reading) Read(ctx context.Context, taskID string, opts *logspb.LogOptions, emit func(*logspb.LogMessage) error) error {
	r.now.Add(1)
	defer r.now.Add(-1)
	if err := emit(&logspb.LogMessage{TaskId: taskID, Data: []byte("line")}); err != nil || !opts.GetFollow() {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// keepingLogs is a node whose daemon reads logs.
func keepingLogs(t *testing.T, f func(*machine, *reading)) {
	t.Helper()
	on(t, func(m *machine) {
		m.stop()
		r := &reading{}
		m.logs = r
		m.start()
		f(m, r)
	})
}

func (m *machine) ask(sub *dispatchpb.LogSubscription) {
	m.t.Helper()
	if err := m.manager.AskLogs("n1", sub); err != nil {
		m.t.Fatal(err)
	}
	m.settle()
}

func follow(id string, tasks ...string) *dispatchpb.LogSubscription {
	return &dispatchpb.LogSubscription{Id: id, TaskIds: tasks, Options: &logspb.LogOptions{Follow: true}}
}

// published lists the lines that came, as SUBSCRIPTION/TASK, and errors.
func (m *machine) published() string {
	var got []string
	for _, p := range m.manager.Published() {
		for _, l := range p.GetMessages() {
			got = append(got, p.GetSubscriptionId()+"/"+l.GetTaskId()+" of "+l.GetNodeId())
		}
		if p.GetErr() != "" {
			got = append(got, p.GetErr())
		}
	}
	return strings.Join(got, ", ")
}

func TestFollowedLogs(t *testing.T) {
	tests := map[string]struct {
		then func(*machine)
		want int32 // readers afterwards
		told string
	}{
		"nothing happens":         {func(*machine) {}, 1, "f/t1 of n1"},
		"a task comes":            {func(m *machine) { m.ask(follow("f", "t2")) }, 2, "f/t1 of n1, f/t2 of n1"},
		"it is closed":            {func(m *machine) { m.ask(&dispatchpb.LogSubscription{Id: "f", Close: true}) }, 0, "f/t1 of n1"},
		"another is closed":       {func(m *machine) { m.ask(&dispatchpb.LogSubscription{Id: "g", Close: true}) }, 1, "f/t1 of n1"},
		"it is closed and opened": {func(m *machine) { m.ask(&dispatchpb.LogSubscription{Id: "f", Close: true}); m.ask(follow("f", "t2")) }, 1, "f/t1 of n1, f/t2 of n1"},
		"the manager goes":        {func(m *machine) { m.stopped(); m.settle(); m.lead() }, 0, "f/t1 of n1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			keepingLogs(t, func(m *machine, r *reading) {
				m.ask(follow("f", "t1"))
				tt.then(m)
				m.settle()
				if got := r.now.Load(); got != tt.want {
					t.Errorf("%d logs are read, want %d", got, tt.want)
				}
				if got := m.published(); got != tt.told {
					t.Errorf("published %q, want %q", got, tt.told)
				}
			})
		})
	}
}

// The manager counts the nodes that answer, so one without logs must too.
func TestNodeWithoutLogsSaysSo(t *testing.T) {
	on(t, func(m *machine) {
		m.ask(&dispatchpb.LogSubscription{Id: "s", TaskIds: []string{"t1"}})
		if got := m.published(); got != "task t1: this node keeps no logs" {
			t.Errorf("published %q", got)
		}
	})
}

func TestSubscriptionIsAnsweredThoughNothingIsRead(t *testing.T) {
	on(t, func(m *machine) {
		m.stop()
		m.logs = logsFunc(func(context.Context, string, *logspb.LogOptions, func(*logspb.LogMessage) error) error { return nil })
		m.start()
		m.ask(&dispatchpb.LogSubscription{Id: "s", TaskIds: []string{"t1"}})
		if got := m.manager.Published(); len(got) != 1 || got[0].GetSubscriptionId() != "s" || len(got[0].GetMessages()) != 0 {
			t.Errorf("published %v, want one empty message", got)
		}
	})
}

// The lines of a node's tasks go out in order of time, in messages that are
// bounded, and what failed is said before the end.
func TestLinesOfTasksAreMerged(t *testing.T) {
	p := &logPublisher{nodeID: "n1", logs: logsFunc(func(_ context.Context, taskID string, _ *logspb.LogOptions, emit func(*logspb.LogMessage) error) error {
		first, _ := strconv.Atoi(taskID)
		for i := range 500 {
			at := time.Unix(int64(first+3*i), 0)
			if err := emit(&logspb.LogMessage{TaskId: taskID, At: timestamppb.New(at), Data: make([]byte, 1<<10)}); err != nil {
				return err
			}
		}
		return fmt.Errorf("%s is torn", taskID)
	})}
	all := p.readAll(t.Context(), &dispatchpb.LogSubscription{TaskIds: []string{"0", "1", "2"}, Options: &logspb.LogOptions{Tail: -1}})
	next, failed := int64(0), 0
	if err := all.pass(t.Context(), func(req *logspb.PublishLogsRequest) error {
		if size := proto.Size(req); size > 70<<10 {
			t.Errorf("a message has %d bytes", size)
		}
		if req.GetErr() != "" {
			failed++
		}
		for _, m := range req.GetMessages() {
			if m.GetAt().GetSeconds() != next {
				t.Fatalf("the line of second %d came where %d was due", m.GetAt().GetSeconds(), next)
			}
			next++
		}
		return nil
	}); err != nil || next != 1500 || failed != 3 {
		t.Errorf("%d lines and %d failures, %v", next, failed, err)
	}
}

// Reading stops when nobody takes the lines any more.
func TestReaderIsToldThatItsLinesAreNotWanted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var got error
	p := &logPublisher{nodeID: "n1", logs: logsFunc(func(_ context.Context, _ string, _ *logspb.LogOptions, emit func(*logspb.LogMessage) error) error {
		got = emit(&logspb.LogMessage{})
		return got
	})}
	source := logmerge.New(0).Join()
	for source.Put(ctx, &logspb.LogMessage{Data: make([]byte, 16<<10)}) == nil {
		continue // until there is no room
	}
	_ = p.read(ctx, "t1", nil, source)
	if !errors.Is(got, context.Canceled) {
		t.Errorf("the reader was told %v", got)
	}
}
