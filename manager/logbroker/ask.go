package logbroker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/logmerge"
	"github.com/muster/muster/raftstore/state"
)

// ask is what one node was asked for, and is still to be asked for.
type ask struct {
	// node is what people call it, for warnings: also once it was removed.
	node string
	// first are tasks not asked for yet, with what the client wants of the
	// past; later those to be read from where the client's lines end: new ones
	// from their beginning, others from where a stream broke off.
	first, later []string
	// pending are the answers to each message sent that no stream has begun
	// yet, oldest first; the last one was sent at.
	pending []*answer
	at      time.Time
	// open are those whose stream is open.
	open []*answer
	// warned: the client knows that the node cannot be asked.
	warned bool
}

// answer is what a node sends, or is to send, of some of its tasks.
type answer struct {
	tasks []string
	lines *logmerge.Source
}

// silent gives up what a node does not answer in time, and warns of it. Of whom
// follows a stream that is open may be silent for ever.
func (s *subscription) silent(a *ask, now time.Time) (warnings []string) {
	follow := s.req.GetOptions().GetFollow()
	if len(a.pending) > 0 && now.Sub(a.at) >= answerTimeout {
		var tasks []string
		for _, p := range a.pending {
			tasks = append(tasks, p.tasks...)
			p.lines.Drop()
		}
		a.pending = nil
		warnings = append(warnings, fmt.Sprintf("%s does not answer: logs of %s are missing", a.node, count(tasks)))
		if follow {
			a.later, a.warned = append(a.later, tasks...), true
		}
	}
	if follow {
		return warnings
	}
	a.open = slices.DeleteFunc(a.open, func(o *answer) bool {
		silent := o.lines.Silent(now, answerTimeout)
		if silent {
			warnings = append(warnings, fmt.Sprintf("%s has sent nothing for %s: logs of %s may be incomplete", a.node, answerTimeout, count(o.tasks)))
			o.lines.Drop()
		}
		return silent
	})
	return warnings
}

// ask sends the nodes what is waiting for them, and returns warnings about
// those that cannot be asked or do not answer.
func (s *subscription) ask(now time.Time) (warnings []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nodeID := range slices.Sorted(maps.Keys(s.asks)) {
		a := s.asks[nodeID]
		warnings = append(warnings, s.silent(a, now)...)
		missing := append(s.send(nodeID, a, &a.first, false, now), s.send(nodeID, a, &a.later, true, now)...)
		if len(missing) > 0 && !a.warned {
			a.warned = true
			warnings = append(warnings, fmt.Sprintf("%s is not connected: logs of %s are missing", a.node, count(missing)))
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
	a.pending = append(a.pending, &answer{tasks: tasks, lines: s.merge.Join()})
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

// called is what people call a node. The id of one that was removed before says
// nothing to them.
func called(st *state.State, nodeID string) string {
	n, ok := st.Node(nodeID)
	if !ok {
		return "a node that was removed"
	}
	return "node " + cmp.Or(n.GetDescription().GetHostname(), nodeID)
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
