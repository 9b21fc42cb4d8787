package cluster

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	logspb "github.com/muster/muster/proto/logs/v1"
)

// journal has the logs of a node's tasks: each has said one line, a minute ago.
type journal struct{ node *Node }

// Read implements worker.Logs.
func (j journal) Read(_ context.Context, taskID string, o *logspb.LogOptions, emit func(*logspb.LogMessage) error) error {
	at := time.Now().Add(-time.Minute)
	if o.GetTail() == 0 || o.GetSince() != nil && at.Before(o.GetSince().AsTime()) {
		return nil
	}
	return emit(&logspb.LogMessage{
		TaskId: taskID, At: timestamppb.New(at), Stream: logspb.LogMessage_STREAM_STDOUT, Data: []byte("hello from " + j.node.Name + "\n"),
	})
}
