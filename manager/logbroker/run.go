package logbroker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

// run asks nodes and sends the client what they publish, until all is read or
// ctx is done.
func (s *subscription) run(ctx context.Context, store Store, changes *raftstore.Subscription, send func(*controlpb.SubscribeLogsResponse) error) error {
	defer s.close()
	var window window
	again := time.NewTicker(askPeriod)
	defer again.Stop()
	flush := time.NewTimer(time.Hour)
	defer flush.Stop()

	s.add(store.State(), false)
	for {
		for _, text := range s.ask(time.Now(), store.State()) {
			if err := send(&controlpb.SubscribeLogsResponse{Warning: text}); err != nil {
				return err
			}
		}
		if s.finished() {
			return s.drain(&window, send)
		}
		select {
		case <-ctx.Done():
			return nil
		case in := <-s.in:
			if err := s.take(in, &window, send); err != nil {
				return err
			}
			flush.Reset(window.wait(time.Now()))
		case <-flush.C:
			if err := emit(send, window.due(time.Now())); err != nil {
				return err
			}
			flush.Reset(window.wait(time.Now()))
		case <-changes.C:
			changes.Take()
			if s.req.GetOptions().GetFollow() {
				s.add(store.State(), true)
			}
		case <-s.moved:
		case <-again.C:
			if !store.IsLeader() {
				return fmt.Errorf("another manager leads now, ask again: %w", errdefs.ErrUnavailable)
			}
		}
	}
}

// take puts messages into the window, and passes warnings and what no longer
// fits on at once.
func (s *subscription) take(in input, w *window, send func(*controlpb.SubscribeLogsResponse) error) error {
	if in.warning != "" {
		if err := send(&controlpb.SubscribeLogsResponse{Warning: in.warning}); err != nil {
			return err
		}
	}
	return emit(send, w.add(time.Now(), in.messages))
}

// drain sends what is left once every node has sent all.
func (s *subscription) drain(w *window, send func(*controlpb.SubscribeLogsResponse) error) error {
	for {
		select {
		case in := <-s.in:
			if err := s.take(in, w, send); err != nil {
				return err
			}
		default:
			return emit(send, w.all())
		}
	}
}

func emit(send func(*controlpb.SubscribeLogsResponse) error, messages []*logspb.LogMessage) error {
	if len(messages) == 0 {
		return nil
	}
	return send(&controlpb.SubscribeLogsResponse{Messages: messages})
}

// finished reports whether nothing more can come: nobody follows, and every
// node that was asked has answered in full.
func (s *subscription) finished() bool {
	if s.req.GetOptions().GetFollow() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asks {
		if len(a.first)+len(a.later)+len(a.pending)+len(a.open) > 0 {
			return false
		}
	}
	return true
}

// ask sends the nodes what is waiting for them, and returns warnings about
// those that cannot be asked or do not answer.
func (s *subscription) ask(now time.Time, st *state.State) (warnings []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nodeID := range slices.Sorted(maps.Keys(s.asks)) {
		a := s.asks[nodeID]
		if len(a.pending) > 0 && now.Sub(a.at) >= answerTimeout {
			silent := slices.Concat(a.pending...)
			a.pending = nil
			warnings = append(warnings, fmt.Sprintf("node %s does not answer: logs of %s are missing", name(st, nodeID), count(silent)))
			if s.req.GetOptions().GetFollow() {
				a.later, a.warned = append(a.later, silent...), true
			}
		}
		missing := append(s.send(nodeID, a, &a.first, false, now), s.send(nodeID, a, &a.later, true, now)...)
		if len(missing) > 0 && !a.warned {
			a.warned = true
			warnings = append(warnings, fmt.Sprintf("node %s is not connected: logs of %s are missing", name(st, nodeID), count(missing)))
		}
	}
	return warnings
}

// send asks a node for the tasks of a list, and returns those it could not be
// asked for. While following they stay in the list, to be tried again.
func (s *subscription) send(nodeID string, a *ask, list *[]string, later bool, now time.Time) (missing []string) {
	if len(*list) == 0 {
		return nil
	}
	tasks := *list
	if err := s.nodes.SubscribeLogs(nodeID, s.message(tasks, later)); err != nil {
		if !s.req.GetOptions().GetFollow() {
			*list = nil
		}
		return tasks
	}
	*list, a.at, a.warned = nil, now, false
	a.pending = append(a.pending, tasks)
	return nil
}

// message asks a node for tasks.
func (s *subscription) message(tasks []string, later bool) *dispatchpb.LogSubscription {
	m := &dispatchpb.LogSubscription{Id: s.id, TaskIds: slices.Clone(tasks), Options: s.req.GetOptions()}
	if later {
		m.Options = proto.CloneOf(m.GetOptions())
		m.Options.Tail = -1
		if since, ok := s.resume(tasks); ok && since.After(m.GetOptions().GetSince().AsTime()) {
			m.Options.Since = timestamppb.New(since)
		}
	}
	return m
}

// resume returns the time from which the client lacks lines of tasks; not ok
// when it has none of one of them: then all are read from their beginning, and
// put drops what is known.
func (s *subscription) resume(tasks []string) (since time.Time, ok bool) {
	for i, id := range tasks {
		at, seen := s.last[id]
		if !seen {
			return time.Time{}, false
		}
		if at = at.Add(1); i == 0 || at.Before(since) {
			since = at
		}
	}
	return since, len(tasks) > 0
}

func name(st *state.State, nodeID string) string {
	if n, ok := st.Node(nodeID); ok && n.GetDescription().GetHostname() != "" {
		return n.GetDescription().GetHostname()
	}
	return nodeID
}

func count(ids []string) string {
	if len(ids) == 1 {
		return "task " + ids[0]
	}
	return fmt.Sprintf("%d tasks (%s)", len(ids), strings.Join(ids, ", "))
}

// close tells the nodes that nobody listens any more.
func (s *subscription) close() {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nodeID := range slices.Sorted(maps.Keys(s.asks)) {
		// A node that is gone has nothing to close.
		_ = s.nodes.SubscribeLogs(nodeID, &dispatchpb.LogSubscription{Id: s.id, Close: true})
	}
}
