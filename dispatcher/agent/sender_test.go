package agent

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// encodesNothing is a stream on which no message can be encoded.
type encodesNothing struct{ grpc.ClientStream }

func (encodesNothing) Context() context.Context { return context.Background() }
func (encodesNothing) SendMsg(any) error        { panic("a message that could not be encoded was sent") }

// TestMessageThatCannotBeSent: it is dropped and told, and ends no session.
func TestMessageThatCannotBeSent(t *testing.T) {
	var log bytes.Buffer
	s := &sender{log: slog.New(slog.NewTextHandler(&log, nil)), stream: &grpc.GenericClientStream[dispatchpb.SessionRequest, dispatchpb.SessionResponse]{
		ClientStream: encodesNothing{},
	}}
	if err := s.send(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Heartbeat{}}); err != nil {
		t.Errorf("the session ends: %v", err)
	}
	if !strings.Contains(log.String(), "is dropped") {
		t.Errorf("it is not told: %s", log.String())
	}
}
