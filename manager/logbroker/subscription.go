package logbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/logmerge"
	"github.com/muster/muster/raftstore/state"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

const (
	// window is how long a line that is followed waits for earlier ones of other
	// nodes. It is more than what a node lets them wait, and the way here.
	window = 300 * time.Millisecond
	// linger is how long lines are waited for once no task prints any more.
	linger = 2 * time.Second
	// askPeriod is how often nodes that could not be asked are asked again,
	// while following.
	askPeriod = time.Second
	// answerTimeout bounds the wait for a node that was asked.
	answerTimeout = 5 * time.Second
)

// subscription is one client's.
type subscription struct {
	id    string
	req   *controlpb.SubscribeLogsRequest
	nodes Nodes
	merge *logmerge.Merge
	// told are the tasks that the client knows may still print.
	told []string
	// warnings are for the client.
	warnings chan string
	done     chan struct{} // closed when the client is gone
	end      func()

	mu   sync.Mutex
	asks map[string]*ask // by node
	// tasks, last and known belong to each task that was asked for: where it
	// runs and what for, the time of the last line seen, and the time up to which
	// lines come twice because a stream broke.
	tasks       map[string]origin
	last, known map[string]time.Time
}

// origin is where a task's lines come from, as the managers know it.
type origin struct{ nodeID, serviceID string }

func newSubscription(id string, req *controlpb.SubscribeLogsRequest, nodes Nodes) *subscription {
	done := make(chan struct{})
	merge := logmerge.New(0)
	if req.GetOptions().GetFollow() {
		merge = logmerge.New(window)
	}
	return &subscription{
		id: id, req: req, nodes: nodes, merge: merge, warnings: make(chan string, 1),
		done: done, end: sync.OnceFunc(func() { close(done); merge.Stop() }),
		asks: make(map[string]*ask), tasks: make(map[string]origin), last: make(map[string]time.Time), known: make(map[string]time.Time),
	}
}

// open notes that a node answers and returns with which of its streams; not ok
// when it was not asked.
func (s *subscription) open(nodeID string) (a *answer, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.asks[nodeID]
	if of == nil || len(of.pending) == 0 {
		return nil, false
	}
	a, of.pending = of.pending[0], of.pending[1:]
	of.open = append(of.open, a)
	return a, true
}

// closed notes that a stream ended. One that broke is asked for again while
// following.
func (s *subscription) closed(nodeID string, a *answer, whole bool) {
	follow := s.req.GetOptions().GetFollow()
	s.mu.Lock()
	of := s.asks[nodeID]
	known := slices.Contains(of.open, a) // or it was given up
	of.open = slices.DeleteFunc(of.open, func(o *answer) bool { return o == a })
	if known && !whole && follow {
		of.later, of.warned = append(of.later, a.tasks...), false
		for _, id := range a.tasks {
			s.known[id] = s.last[id]
		}
	}
	s.mu.Unlock()
	if known && !whole && !follow {
		// Before the source ends: afterwards nobody may be reading.
		s.warn(of.node + " was lost while it sent logs: they may be incomplete")
	}
	a.lines.Close()
}

// warn tells the client, if it is still there.
func (s *subscription) warn(text string) {
	select {
	case s.warnings <- text:
	case <-s.done:
	}
}

// put passes on what a node published; it waits for the client. A node speaks
// only of its own tasks.
func (s *subscription) put(ctx context.Context, nodeID string, a *answer, req *logspb.PublishLogsRequest) error {
	if req.GetErr() != "" {
		s.warn(req.GetErr())
	}
	err := a.lines.Put(ctx, s.fresh(nodeID, req.GetMessages())...)
	if errors.Is(err, logmerge.ErrDropped) {
		return fmt.Errorf("log subscription %s has ended: %w", s.id, errdefs.ErrNotFound)
	}
	return err
}

// fresh returns those of a node's lines that are of its own tasks and that the
// client does not have.
func (s *subscription) fresh(nodeID string, messages []*logspb.LogMessage) (lines []*logspb.LogMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range messages {
		id, at := m.GetTaskId(), m.GetAt().AsTime()
		of, asked := s.tasks[id]
		if !asked || of.nodeID != nodeID {
			continue
		}
		if until, again := s.known[id]; again && !at.After(until) {
			continue
		}
		m.NodeId, m.ServiceId = of.nodeID, of.serviceID
		if at.After(s.last[id]) {
			s.last[id] = at
		}
		lines = append(lines, m)
	}
	return lines
}

// add takes up tasks that are asked for and run somewhere. Those found while
// following are new: all they print is wanted.
func (s *subscription) add(st *state.State, following bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	take := func(t *clusterpb.Task) {
		if _, known := s.tasks[t.GetId()]; known || t.GetNodeId() == "" {
			return
		}
		s.tasks[t.GetId()] = origin{t.GetNodeId(), t.GetServiceId()}
		a := s.asks[t.GetNodeId()]
		if a == nil {
			a = &ask{node: called(st, t.GetNodeId())}
			s.asks[t.GetNodeId()] = a
		}
		if following {
			a.later = append(a.later, t.GetId())
		} else {
			a.first = append(a.first, t.GetId())
		}
	}
	for _, id := range s.req.GetTaskIds() {
		if t, ok := st.Task(id); ok {
			take(t)
		}
	}
	for _, id := range s.req.GetServiceIds() {
		for t := range st.TasksOf(id) {
			take(t)
		}
	}
}
