package dispatcher

import (
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/dispatcher/plan"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/id"
)

// send tells the node what it should be until the session ends.
func (t *term) send(str stream, s *session, ended <-chan error) error {
	period := t.nodes.period()
	err := str.Send(&dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Registered{Registered: &dispatchpb.Registered{
		SessionId: id.New(), HeartbeatPeriod: durationpb.New(period),
	}}})
	if err != nil {
		return err
	}
	select {
	case <-t.planned:
	case <-t.done:
	case err := <-ended:
		return err
	}
	var base *plan.Set // what the node was told
	wake(s.wake)
	for {
		select {
		case <-t.done:
			return str.Send(redirect(t.cfg.Leader()))
		case err := <-ended:
			return err
		case <-s.kicked:
			return fmt.Errorf("session of node %s was replaced or its lease ended: %w", s.nodeID, errdefs.ErrUnavailable)
		case <-s.wake:
		}
		if err := s.sendOutbox(str); err != nil {
			return err
		}
		if base, err = t.sendAssignments(str, s, base); err != nil {
			return err
		}
	}
}

func (s *session) sendOutbox(str stream) error {
	s.mu.Lock()
	out := s.out
	s.out = outbox{}
	s.mu.Unlock()
	for range out.heartbeats {
		if err := str.Send(&dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Heartbeat{Heartbeat: &dispatchpb.Heartbeat{}}}); err != nil {
			return err
		}
	}
	if out.recorded > 0 {
		rec := &dispatchpb.StatusesRecorded{Sequence: out.recorded}
		if err := str.Send(&dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Recorded{Recorded: rec}}); err != nil {
			return err
		}
	}
	for _, l := range out.logs {
		if err := str.Send(&dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Logs{Logs: l}}); err != nil {
			return err
		}
	}
	return nil
}
