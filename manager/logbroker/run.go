package logbroker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"

	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
)

type sender func(*controlpb.SubscribeLogsResponse) error

func (send sender) warn(text string) error {
	return send(&controlpb.SubscribeLogsResponse{Warning: text})
}

// run asks nodes and sends the client what they publish, until all is read or
// ctx is done. Each second it sends something, so that the client knows that
// somebody is there.
func (s *subscription) run(ctx context.Context, store Store, changes *raftstore.Subscription, send sender) error {
	defer s.close()
	again := time.NewTicker(askPeriod)
	defer again.Stop()

	s.add(store.State(), false)
	if err := send(&controlpb.SubscribeLogsResponse{Printing: s.printing(store.State())}); err != nil {
		return err
	}
	var overSince time.Time
	for {
		if !s.over(store.State(), time.Now()) {
			overSince = time.Time{}
		} else if overSince.IsZero() {
			overSince = time.Now()
		}
		wait, err := s.pass(send)
		if err != nil {
			return err
		}
		if !overSince.IsZero() && wait > 0 && s.finished(time.Now(), overSince) {
			return s.drain(send)
		}
		select {
		case <-ctx.Done():
			return nil
		case text := <-s.warnings:
			if err := send.warn(text); err != nil {
				return err
			}
		case <-s.merge.Changed():
		case <-time.After(wait):
		case <-changes.C:
			changes.Take()
			if s.req.GetOptions().GetFollow() {
				s.add(store.State(), true)
			}
		case <-again.C:
			if !store.IsLeader() {
				return fmt.Errorf("another manager leads now, ask again: %w", errdefs.ErrUnavailable)
			}
			if err := send(&controlpb.SubscribeLogsResponse{Printing: s.printing(store.State())}); err != nil {
				return err
			}
		}
	}
}

// pass asks the nodes and sends the client what there is. It returns how long
// until there may be more if nothing happens, 0 when there is more at once.
func (s *subscription) pass(send sender) (wait time.Duration, err error) {
	for _, text := range s.ask(time.Now()) {
		if err := send.warn(text); err != nil {
			return 0, err
		}
	}
	lines, wait := s.merge.Take(time.Now())
	if len(lines) == 0 {
		return wait, nil
	}
	return 0, send(&controlpb.SubscribeLogsResponse{Messages: lines})
}

// drain sends the last warnings.
func (s *subscription) drain(send sender) error {
	for {
		select {
		case text := <-s.warnings:
			if err := send.warn(text); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// over reports whether nothing more will be printed that is asked for: nobody
// follows, the time asked for is past, or no task runs nor will.
func (s *subscription) over(st *state.State, now time.Time) bool {
	o := s.req.GetOptions()
	if !o.GetFollow() || o.GetUntil() != nil && now.After(o.GetUntil().AsTime()) {
		return true
	}
	for _, id := range s.req.GetServiceIds() {
		if _, ok := st.Service(id); ok {
			return false
		}
	}
	for _, id := range s.req.GetTaskIds() {
		if prints(st, id) {
			return false
		}
	}
	return len(s.printers(st)) == 0
}

// printers are the tasks that nodes were asked for and that may still print.
func (s *subscription) printers(st *state.State) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.tasks {
		if prints(st, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// printing is what the client is told of them; nil when it knows.
func (s *subscription) printing(st *state.State) *controlpb.Printing {
	ids := s.printers(st)
	if slices.Equal(ids, s.told) {
		return nil
	}
	s.told = ids
	return &controlpb.Printing{TaskIds: ids}
}

func prints(st *state.State, id string) bool {
	t, ok := st.Task(id)
	return ok && !lifecycle.Ended(t.GetStatus().GetState())
}

// finished reports whether all lines are there, where it is over since a time:
// every node has answered in full. Of a task that never started there is no end
// to be read, and of a node that is away nothing, so who follows waits for a
// while only.
func (s *subscription) finished(now, since time.Time) bool {
	s.mu.Lock()
	left := 0
	for _, a := range s.asks {
		left += len(a.first) + len(a.later)
	}
	s.mu.Unlock()
	if left == 0 && s.merge.Done() {
		return true
	}
	return s.req.GetOptions().GetFollow() && now.Sub(since) >= linger && s.merge.Quiet(now, linger)
}
