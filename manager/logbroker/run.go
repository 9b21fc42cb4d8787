package logbroker

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/raftstore"

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
