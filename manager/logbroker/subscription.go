package logbroker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/raftstore/state"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

const (
	// queue is how many messages of nodes wait to be merged; then nodes wait.
	queue = 64
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
	in    chan input
	done  chan struct{} // closed when the client is gone
	end   func()
	// moved receives when a node opened or closed a stream.
	moved chan struct{}

	mu   sync.Mutex
	asks map[string]*ask // by node
	// nodeOf, last and known belong to each task that was asked for: where it
	// runs, the time of the last line seen, and the time up to which lines come
	// twice because a stream broke.
	nodeOf      map[string]string
	last, known map[string]time.Time
}

// input is what a node published.
type input struct {
	messages []*logspb.LogMessage
	warning  string
}

func newSubscription(id string, req *controlpb.SubscribeLogsRequest, nodes Nodes) *subscription {
	done := make(chan struct{})
	return &subscription{
		id: id, req: req, nodes: nodes, in: make(chan input, queue), moved: make(chan struct{}, 1),
		done: done, end: sync.OnceFunc(func() { close(done) }),
		asks: make(map[string]*ask), nodeOf: make(map[string]string), last: make(map[string]time.Time), known: make(map[string]time.Time),
	}
}

// open notes that a node answers and returns which of its streams this is;
// not ok when it was not asked.
func (s *subscription) open(nodeID string) (stream int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.asks[nodeID]
	if a == nil || len(a.pending) == 0 {
		return 0, false
	}
	a.serial++
	a.open[a.serial], a.pending = a.pending[0], a.pending[1:]
	return a.serial, true
}

// closed notes that a stream ended. One that broke is asked for again while
// following.
func (s *subscription) closed(nodeID string, stream int, whole bool) {
	if !whole && !s.req.GetOptions().GetFollow() {
		// Before the stream counts as closed: afterwards nobody may be reading.
		s.warn(fmt.Sprintf("node %s was lost while it sent logs: they may be incomplete", nodeID))
	}
	s.mu.Lock()
	a := s.asks[nodeID]
	if !whole && s.req.GetOptions().GetFollow() {
		a.later, a.warned = append(a.later, a.open[stream]...), false
		for _, id := range a.open[stream] {
			s.known[id] = s.last[id]
		}
	}
	delete(a.open, stream)
	s.mu.Unlock()
	s.wake()
}

func (s *subscription) wake() {
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

// warn tells the client, if it is still there.
func (s *subscription) warn(text string) {
	select {
	case s.in <- input{warning: text}:
	case <-s.done:
	}
}

// put queues what a node published; it waits for the client. A node speaks
// only of its own tasks.
func (s *subscription) put(ctx context.Context, nodeID string, req *logspb.PublishLogsRequest) error {
	in := input{warning: req.GetErr()}
	s.mu.Lock()
	for _, m := range req.GetMessages() {
		id, at := m.GetTaskId(), m.GetAt().AsTime()
		if s.nodeOf[id] != nodeID {
			continue
		}
		if until, again := s.known[id]; again && !at.After(until) {
			continue
		}
		m.NodeId = nodeID
		if at.After(s.last[id]) {
			s.last[id] = at
		}
		in.messages = append(in.messages, m)
	}
	s.mu.Unlock()
	if in.warning == "" && len(in.messages) == 0 {
		return nil
	}
	select {
	case s.in <- in:
		return nil
	case <-s.done:
		return fmt.Errorf("log subscription %s has ended: %w", s.id, errdefs.ErrNotFound)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// add takes up tasks that are asked for and run somewhere. Those found while
// following are new: all they print is wanted.
func (s *subscription) add(st *state.State, following bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	take := func(t *clusterpb.Task) {
		if t.GetNodeId() == "" || s.nodeOf[t.GetId()] != "" {
			return
		}
		s.nodeOf[t.GetId()] = t.GetNodeId()
		a := s.asks[t.GetNodeId()]
		if a == nil {
			a = &ask{open: make(map[int][]string)}
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
