package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/cli/logprint"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

// silentLogs takes every call; on the first it sends one line a while after
// each of these, then nothing more, as a daemon that was stopped does.
type silentLogs struct {
	after []time.Duration
	calls int
	last  *logspb.LogOptions
}

func (l *silentLogs) SubscribeLogs(ctx context.Context, r *controlpb.SubscribeLogsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.SubscribeLogsResponse], error) {
	l.calls++
	l.last = r.GetOptions()
	after := l.after
	l.after = nil
	return &silentStream{ctx: ctx, after: after}, nil
}

type silentStream struct {
	grpc.ClientStream
	ctx   context.Context
	after []time.Duration
}

func (s *silentStream) Recv() (*controlpb.SubscribeLogsResponse, error) {
	if len(s.after) == 0 {
		<-s.ctx.Done()
		return nil, s.ctx.Err()
	}
	time.Sleep(s.after[0])
	s.after = s.after[1:]
	return &controlpb.SubscribeLogsResponse{Messages: []*logspb.LogMessage{{TaskId: "t", At: timestamppb.Now(), Data: []byte("x\n")}}}, nil
}

// Who takes the call and sends nothing is not waited for for ever.
func TestManagersThatFallSilent(t *testing.T) {
	for name, tt := range map[string]struct {
		follow bool
		after  []time.Duration
		lines  int
		took   time.Duration // at most
	}{
		"from the beginning": {true, nil, 0, 45 * time.Second},
		"after some lines":   {true, []time.Duration{9 * time.Second, 9 * time.Second}, 2, 80 * time.Second},
		"not following":      {false, nil, 0, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out, warned bytes.Buffer
				p := &logprint.Printer{Out: &out, Err: &warned, Options: logprint.Options{Raw: true}}
				began := time.Now()
				err := copyLogs(t.Context(), &silentLogs{after: tt.after}, p, &controlpb.SubscribeLogsRequest{Options: &logspb.LogOptions{Follow: tt.follow}})
				if !errors.Is(err, errSilent) || time.Since(began) > tt.took {
					t.Errorf("ended after %v with %v", time.Since(began), err)
				}
				if tt.follow && !strings.Contains(warned.String(), "warning: the managers have sent nothing for 10s, asking again\n") {
					t.Errorf("warned %q", warned.String())
				}
				if got := strings.Count(out.String(), "x\n"); got != tt.lines {
					t.Errorf("%d lines, want %d", got, tt.lines)
				}
			})
		})
	}
}

// What was asked for may be there already when a manager goes.
func TestGoOnEndsAtUntil(t *testing.T) {
	at := time.Unix(100, 0)
	for until, want := range map[time.Duration]bool{0: false, 1: true, time.Second: true} {
		o := &logspb.LogOptions{Until: timestamppb.New(at.Add(until))}
		if got := goOn(o, at); got != want {
			t.Errorf("until %v after the last line: goes on %v, want %v", until, got, want)
		}
	}
	o := &logspb.LogOptions{Tail: 3}
	if !goOn(o, at) || o.GetTail() != -1 || !o.GetSince().AsTime().Equal(at.Add(1)) {
		t.Errorf("goes on with %v", o)
	}
}

// changing is a leader that is lost after it told of three tasks, and the next
// one, which ends the stream.
type changing struct{ calls int }

func (c *changing) SubscribeLogs(context.Context, *controlpb.SubscribeLogsRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.SubscribeLogsResponse], error) {
	c.calls++
	if c.calls == 1 {
		return &scripted{responses: []*controlpb.SubscribeLogsResponse{{Printing: &controlpb.Printing{TaskIds: []string{"a", "b", "c"}}}, {}}, end: errdefs.ErrUnavailable}, nil
	}
	return &scripted{responses: []*controlpb.SubscribeLogsResponse{{Printing: &controlpb.Printing{TaskIds: []string{"b"}}}}, end: io.EOF}, nil
}

type scripted struct {
	grpc.ClientStream
	responses []*controlpb.SubscribeLogsResponse
	end       error
}

func (s *scripted) Recv() (*controlpb.SubscribeLogsResponse, error) {
	if len(s.responses) == 0 {
		return nil, s.end
	}
	r := s.responses[0]
	s.responses = s.responses[1:]
	return r, nil
}

// Tasks that were removed while the lead changed are named: nobody reads their
// last lines any more.
func TestTasksGoneWhileTheLeadChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var warned bytes.Buffer
		p := &logprint.Printer{Out: io.Discard, Err: &warned, Lookup: func(_ context.Context, id string) (*clusterpb.Task, error) {
			if id == "b" {
				return &clusterpb.Task{Id: id}, nil
			}
			return nil, errdefs.ErrNotFound
		}}
		if err := copyLogs(t.Context(), &changing{}, p, &controlpb.SubscribeLogsRequest{Options: &logspb.LogOptions{Follow: true}}); err != nil {
			t.Fatal(err)
		}
		if got, want := warned.String(), "muster: warning: removed while no manager was heard: their last lines may be missing: tasks a, c\n"; got != want {
			t.Errorf("warned %q, want %q", got, want)
		}
	})
}
