package progress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

// step is what a stream does: after a while it sends a view, or breaks.
type step struct {
	after time.Duration
	svc   *clusterpb.Service
	tasks []*clusterpb.Task
	err   error

	unrouted bool
}

// fakeControl gives each call of FollowService the next of its streams. One
// without steps left says nothing more.
type fakeControl struct {
	controlpb.ServiceServiceClient // a call the test did not expect panics
	controlpb.NodeServiceClient
	controlpb.LogServiceClient
	streams [][]step
	calls   int
	logs    *controlpb.SubscribeLogsRequest // the last one
}

func (f *fakeControl) FollowService(ctx context.Context, _ *controlpb.FollowServiceRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.FollowServiceResponse], error) {
	f.calls++
	if len(f.streams) == 0 {
		return nil, errdefs.ErrUnavailable
	}
	steps := f.streams[0]
	f.streams = f.streams[1:]
	return &fakeStream{ctx: ctx, steps: steps}, nil
}

func (f *fakeControl) ListNodes(context.Context, *controlpb.ListNodesRequest, ...grpc.CallOption) (*controlpb.ListNodesResponse, error) {
	return &controlpb.ListNodesResponse{Nodes: []*controlpb.NodeView{
		{Node: &clusterpb.Node{Id: "node", Description: &clusterpb.NodeDescription{Hostname: "alpha"}}},
	}}, nil
}

type fakeStream struct {
	grpc.ClientStream
	ctx   context.Context
	steps []step
}

func (s *fakeStream) Recv() (*controlpb.FollowServiceResponse, error) {
	if len(s.steps) == 0 {
		<-s.ctx.Done()
		return nil, s.ctx.Err()
	}
	next := s.steps[0]
	s.steps = s.steps[1:]
	select {
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	case <-time.After(next.after):
	}
	return &controlpb.FollowServiceResponse{Service: next.svc, Tasks: next.tasks, Routed: !next.unrouted}, next.err
}

// SubscribeLogs answers every subscription with two lines.
func (f *fakeControl) SubscribeLogs(_ context.Context, r *controlpb.SubscribeLogsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.SubscribeLogsResponse], error) {
	f.logs = r
	return &fakeLogStream{}, nil
}

type fakeLogStream struct {
	grpc.ClientStream
	done bool
}

func (s *fakeLogStream) Recv() (*controlpb.SubscribeLogsResponse, error) {
	if s.done {
		return nil, io.EOF
	}
	s.done = true
	return &controlpb.SubscribeLogsResponse{Messages: []*logspb.LogMessage{{Data: []byte("no config\n")}, {Data: []byte("giving up\n")}}}, nil
}

// scene is one wait and what is left of it.
type scene struct {
	out, err bytes.Buffer
	control  *fakeControl
	took     time.Duration
}

func (s *scene) follow(ctx context.Context, opts Options, streams ...[]step) error {
	s.control = &fakeControl{streams: streams}
	env := &command.Env{Out: &s.out, Err: &s.err}
	began := time.Now()
	defer func() { s.took = time.Since(began) }()
	return newFollower(env, clients{s.control, s.control, s.control}, service(1, 1, none), opts).run(ctx)
}

func TestFollowUntilNodesRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s scene
		svc, tasks := service(1, 1, completed), parseTasks(t, "1:running@1")
		err := s.follow(t.Context(), Options{Quiet: true}, []step{
			{svc: svc, tasks: tasks, unrouted: true},
			{after: 20 * time.Millisecond, svc: svc, tasks: tasks},
		})
		if err != nil || s.took != 20*time.Millisecond || s.err.Len() > 0 {
			t.Errorf("ended after %s: %v, %q", s.took, err, s.err.String())
		}
		err = s.follow(t.Context(), Options{Quiet: true}, []step{{svc: svc, tasks: tasks, unrouted: true}})
		if err != nil || s.took != routeLimit || !strings.Contains(s.err.String(), "not every node has confirmed in 5s") {
			t.Errorf("without them, ended after %s: %v, %q", s.took, err, s.err.String())
		}
	})
}

func TestFollowUntilConverged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s scene
		svc := service(1, 1, none)
		svc.Spec.Update = nil // monitored for 5 s
		err := s.follow(t.Context(), Options{}, []step{
			{svc: svc},
			{after: time.Second, svc: svc, tasks: parseTasks(t, "1:preparing@1")},
			{after: time.Second, svc: svc, tasks: parseTasks(t, "1:running@1")},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := "web: 0 of 1 running\n  web.1  preparing  on alpha\n" +
			"web: 1 of 1 running\n  web.1  running    on alpha\nweb: converged\n"
		if s.err.String() != want || s.out.Len() > 0 {
			t.Errorf("output %q, progress:\n%s\nwant:\n%s", s.out.String(), s.err.String(), want)
		}
		if s.took != 7*time.Second {
			t.Errorf("took %s, want 2s and the monitor period", s.took)
		}
	})
}

func TestFollowEndsWithTheRollout(t *testing.T) {
	failed := []*clusterpb.SlotUpdate{{Slot: 1, Failed: true, TaskId: "task0", Err: "exit 7"}}
	tests := map[string]struct {
		state  clusterpb.UpdateStatus_State
		status int
		text   string
	}{
		"rolled back":     {rolledBack, command.ExitRolledBack, "the update failed and was rolled back: why"},
		"paused":          {paused, command.ExitPaused, "update paused: why; continue with"},
		"rollback paused": {rollPaused, command.ExitPaused, "rollback paused: why"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s scene
				svc := service(1, 2, tt.state)
				svc.Update.Progress, svc.Update.Message = failed, "why"
				err := s.follow(t.Context(), Options{Quiet: true}, []step{{svc: svc, tasks: parseTasks(t, "1:failed@2!")}})
				if got := command.ExitStatus(err); got != tt.status {
					t.Errorf("exit status = %d, want %d", got, tt.status)
				}
				if err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error = %v, want %q", err, tt.text)
				}
				want := "task web.1 (task0) on alpha: exit 7\nits last log lines:\n  | no config\n  | giving up\n"
				if s.err.String() != want {
					t.Errorf("explanation:\n%s\nwant:\n%s", s.err.String(), want)
				}
				if s.control.logs.GetOptions().GetTail() != tailLines || s.control.logs.GetOptions().GetFollow() {
					t.Errorf("asked for logs by %v", s.control.logs)
				}
				if s.out.Len() > 0 {
					t.Errorf("quiet, but wrote %q", s.out.String())
				}
			})
		})
	}
}

func TestFollowTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s scene
		err := s.follow(t.Context(), Options{Timeout: time.Minute}, []step{
			{svc: service(1, 1, none), tasks: parseTasks(t, "1:failed@1! 1:pending@1")},
		})
		if got := command.ExitStatus(err); got != command.ExitTimeout || s.took != time.Minute {
			t.Errorf("exit status %d after %s, want %d after 1m: %v", got, s.took, command.ExitTimeout, err)
		}
		if err == nil || !strings.Contains(err.Error(), "not converged in 1m0s (0 of 1 running)") {
			t.Errorf("error = %v", err)
		}
		if !strings.Contains(s.err.String(), "exit 1") || !strings.Contains(s.err.String(), "giving up") {
			t.Errorf("explanation = %q, want the failed task and its logs", s.err.String())
		}
	})
}

func TestFollowGivesUpWithoutHeadway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s scene
		// A crash loop changes all the time and gets nowhere.
		var steps []step
		for range 200 {
			steps = append(steps,
				step{after: 5 * time.Second, svc: service(2, 1, none), tasks: parseTasks(t, "1:running@1 2:running@1")[:1]},
				step{after: 5 * time.Second, svc: service(2, 1, none), tasks: parseTasks(t, "1:starting@1")},
			)
		}
		err := s.follow(t.Context(), Options{Quiet: true}, steps)
		if got := command.ExitStatus(err); got != command.ExitTimeout {
			t.Errorf("exit status = %d, want %d: %v", got, command.ExitTimeout, err)
		}
		if limit := patience(service(2, 1, none).GetSpec()); s.took < limit || s.took > limit+time.Minute {
			t.Errorf("gave up after %s, want about %s", s.took, limit)
		}
	})
}

func TestFollowIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		var s scene
		err := s.follow(ctx, Options{}, []step{{svc: service(1, 1, none)}})
		if got := command.ExitStatus(err); got != command.ExitInterrupted || s.took != 3*time.Second {
			t.Errorf("exit status %d after %s, want %d after 3s", got, s.took, command.ExitInterrupted)
		}
		if err == nil || !strings.Contains(err.Error(), "keeps converging in the background") {
			t.Errorf("error = %v", err)
		}
	})
}

func TestFollowSurvivesAChangeOfLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s scene
		svc := service(1, 1, none)
		err := s.follow(t.Context(), Options{Quiet: true},
			[]step{{svc: svc}, {after: time.Second, err: errdefs.ErrUnavailable}},
			[]step{{err: errdefs.ErrUnavailable}},
			[]step{{svc: svc}, {after: time.Minute, err: io.EOF}},
			[]step{{svc: svc, tasks: parseTasks(t, "1:running@1")}},
		)
		if err != nil || s.control.calls != 4 {
			t.Errorf("after %d streams: %v, want success with the fourth", s.control.calls, err)
		}
	})
}

func TestFollowWithoutAManagerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s scene
		err := s.follow(t.Context(), Options{Quiet: true}, []step{{svc: service(1, 1, none)}, {err: errdefs.ErrUnavailable}})
		if !errdefs.IsUnavailable(err) || s.took < reconnectLimit || s.took > reconnectLimit+5*time.Second {
			t.Errorf("after %s: %v, want unavailable after %s", s.took, err, reconnectLimit)
		}
	})
}

func TestFollowAServiceThatIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s scene
		err := s.follow(t.Context(), Options{Quiet: true}, []step{{svc: service(1, 1, none)}, {svc: nil}})
		if err == nil || !strings.Contains(err.Error(), "was removed") || command.ExitStatus(err) != command.ExitFailure {
			t.Errorf("error = %v, want removed", err)
		}
		err = s.follow(t.Context(), Options{Quiet: true}, []step{{err: errdefs.ErrPermissionDenied}})
		if !errors.Is(err, errdefs.ErrPermissionDenied) {
			t.Errorf("error = %v, want it passed on", err)
		}
	})
}

func TestScreenRedrawsInPlace(t *testing.T) {
	var b bytes.Buffer
	s := &screen{view: view{"web", func(string) string { return "alpha" }}, w: &b, size: func() (int, int) { return 30, 24 }}
	s.draw(NewTracker(Goal{}).Look(routed(service(2, 1, none), parseTasks(t, "1:starting@1")), start))
	s.draw(NewTracker(Goal{}).Look(routed(service(1, 1, none), parseTasks(t, "1:running@1")), start))
	want := "\x1b[2Kweb: 0 of 2 running\n\x1b[2K  web.1  starting   on alpha\n\x1b[2K  web.2  new        no task y…\n\x1b[J" +
		"\x1b[3A\x1b[2Kweb: 1 of 1 running\n\x1b[2K  web.1  running    on alpha\n\x1b[J"
	if b.String() != want {
		t.Errorf("screen:\n%q\nwant:\n%q", b.String(), want)
	}
}

// No frame is taller than the screen, whose last row is the cursor's.
func TestScreenHasRows(t *testing.T) {
	r := NewTracker(Goal{}).Look(routed(service(20, 1, none), nil), start)
	for rows, want := range map[int]string{
		0: "21 lines", 50: "21 lines", 24: "21 lines", 10: "9 lines,   and 13 more", 4: "3 lines,   and 19 more",
		3: "2 lines,   and 20 more", 2: "1 lines", 1: "1 lines",
	} {
		lines := (&screen{view: view{"web", nil}}).fit(r, 80, rows)
		got := fmt.Sprint(len(lines), " lines")
		if last := lines[len(lines)-1]; strings.Contains(last, "more") {
			got += ", " + last
		}
		if got != want {
			t.Errorf("of %d rows it takes %s, want %s", rows, got, want)
		}
	}
}

// A deadline that reached the managers would end the stream there first, with
// an error that does not tell the timeout from a fault.
func TestTheStreamHasNoDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	services := &deadlineServices{}
	f := &follower{ask: clients{services: services}, tracker: NewTracker(Goal{}), drawer: silent{}}
	if _, err := f.attach(ctx); !errdefs.IsNotFound(err) {
		t.Fatalf("error = %v, want what the call returned", err)
	}
	if services.hasDeadline {
		t.Error("the call carries the deadline of the wait")
	}
}

type deadlineServices struct {
	controlpb.ServiceServiceClient
	hasDeadline bool
}

func (c *deadlineServices) FollowService(ctx context.Context, _ *controlpb.FollowServiceRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.FollowServiceResponse], error) {
	_, c.hasDeadline = ctx.Deadline()
	return nil, errdefs.ErrNotFound
}
