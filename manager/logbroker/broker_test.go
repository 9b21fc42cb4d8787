package logbroker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/dispatcher/dispatchertest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	logspb "github.com/muster/muster/proto/logs/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

func line(task string, second int) *logspb.LogMessage {
	return &logspb.LogMessage{TaskId: task, At: timestamppb.New(time.Unix(int64(second), 0)), Data: fmt.Appendf(nil, "%s%d", task, second)}
}

func text(messages []*logspb.LogMessage) string {
	var w []string
	for _, m := range messages {
		w = append(w, string(m.GetData()))
	}
	return strings.Join(w, " ")
}

// scene is a broker over a real store, with nodes that the test plays.
type scene struct {
	t       *testing.T
	store   *raftstore.Store
	network *dispatchertest.Network
	wg      sync.WaitGroup

	mu    sync.Mutex
	away  map[string]bool
	asked []string // NODE:TASKS, or NODE:close
	subs  map[string]*dispatchpb.LogSubscription
}

func (s *scene) SubscribeLogs(nodeID string, sub *dispatchpb.LogSubscription) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away[nodeID] {
		return errdefs.ErrUnavailable
	}
	what := strings.Join(sub.GetTaskIds(), "+")
	if sub.GetClose() {
		what = "close"
	} else {
		s.subs[nodeID] = sub
	}
	s.asked = append(s.asked, nodeID+":"+what)
	return nil
}

func (s *scene) setAway(nodeID string, away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away[nodeID] = away
}

func (s *scene) sub(nodeID string) *dispatchpb.LogSubscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subs[nodeID]
}

// heard returns what nodes were asked so far.
func (s *scene) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.asked, " ")
}

// play calls f with service web: tasks a on n1, b on n2.
func play(t *testing.T, f func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, store: storetest.New(t), network: dispatchertest.NewNetwork(), away: map[string]bool{}, subs: map[string]*dispatchpb.LogSubscription{}}
		for _, n := range []string{"n1", "n2"} {
			s.propose(state.PutNode(&raftpb.PutNode{Id: n, Spec: &clusterpb.NodeSpec{}, Role: clusterpb.NodeRole_NODE_ROLE_WORKER}))
		}
		s.propose(state.PutService(&raftpb.PutService{Id: "web", Spec: &clusterpb.ServiceSpec{Name: "web", Task: &clusterpb.TaskSpec{}}}))
		s.task("a", "n1")
		s.task("b", "n2")

		broker := New(Config{Store: s.store, Nodes: s, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(context.Background())
		s.wg.Go(func() {
			if err := s.network.Serve(ctx, "m1", func(srv *grpc.Server) {
				controlpb.RegisterLogServiceServer(srv, broker)
				logspb.RegisterLogsServiceServer(srv, broker)
			}); err != nil {
				t.Error(err)
			}
		})
		defer func() { cancel(); s.wg.Wait() }()
		synctest.Wait()
		f(s)
	})
}

func (s *scene) propose(changes ...*raftpb.Change) {
	s.t.Helper()
	if err := s.store.Propose(s.t.Context(), changes...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) task(id, node string) {
	s.propose(
		state.CreateTask(&clusterpb.Task{Id: id, ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{}}),
		state.AssignTask(id, node, nil),
	)
}

func (s *scene) observe(id string, to clusterpb.TaskState) {
	s.propose(state.ObserveTask(id, &clusterpb.TaskStatus{State: to}))
}

func (s *scene) client(node string) logspb.LogsServiceClient {
	conn, err := s.network.Dialer(node)(s.t.Context(), "m1")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return logspb.NewLogsServiceClient(conn)
}

// reader is a client and what it was sent.
type reader struct {
	mu       sync.Mutex
	messages []*logspb.LogMessage
	warnings []string
	printing []string // all that was said of it
	err      error
	ended    bool
	stop     func()
}

func (s *scene) subscribe(req *controlpb.SubscribeLogsRequest) *reader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{}
	done := make(chan struct{})
	conn, err := s.network.Dialer("client")(ctx, "m1")
	if err != nil {
		s.t.Fatal(err)
	}
	r.stop = func() { cancel(); <-done; _ = conn.Close() }
	s.t.Cleanup(r.stop)
	s.wg.Go(func() {
		defer close(done)
		stream, err := controlpb.NewLogServiceClient(conn).SubscribeLogs(ctx, req)
		for err == nil {
			var resp *controlpb.SubscribeLogsResponse
			if resp, err = stream.Recv(); err == nil {
				r.mu.Lock()
				r.messages = append(r.messages, resp.GetMessages()...)
				if resp.GetPrinting() != nil {
					r.printing = append(r.printing, strings.Join(resp.GetPrinting().GetTaskIds(), "+"))
				}
				if resp.GetWarning() != "" {
					r.warnings = append(r.warnings, resp.GetWarning())
				}
				r.mu.Unlock()
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = true
		if !errors.Is(err, io.EOF) {
			r.err = err
		}
	})
	time.Sleep(time.Millisecond)
	return r
}

func (r *reader) view() (lines, warnings string, ended bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return text(r.messages), strings.Join(r.warnings, "; "), r.ended, r.err
}

// publish opens a stream of a node and sends messages on it.
func (s *scene) publish(node string, messages ...*logspb.LogMessage) logspb.LogsService_PublishLogsClient {
	s.t.Helper()
	stream, err := s.client(node).PublishLogs(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := stream.Send(&logspb.PublishLogsRequest{SubscriptionId: s.sub(node).GetId(), Messages: messages}); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(time.Millisecond)
	return stream
}

func finish(t *testing.T, stream logspb.LogsService_PublishLogsClient) {
	t.Helper()
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Millisecond)
}

func TestReadsAllAndEnds(t *testing.T) {
	play(t, func(s *scene) {
		r := s.subscribe(&controlpb.SubscribeLogsRequest{ServiceIds: []string{"web"}, Options: &logspb.LogOptions{Tail: 9}})
		if got := s.heard(); got != "n1:a n2:b" {
			t.Fatalf("asked %q", got)
		}
		if sub := s.sub("n1"); sub.GetOptions().GetTail() != 9 || sub.GetOptions().GetFollow() {
			t.Errorf("asked for %v", sub)
		}
		one := s.publish("n1", line("a", 1), line("a", 3), line("b", 2)) // b is not n1's
		two := s.publish("n2", line("b", 2), line("b", 4))
		finish(t, one)
		if _, _, ended, _ := r.view(); ended {
			t.Fatal("ended before n2 had sent all")
		}
		finish(t, two)
		lines, warnings, ended, err := r.view()
		if lines != "a1 b2 a3 b4" || warnings != "" || !ended || err != nil {
			t.Errorf("read %q, warned %q, ended %v with %v", lines, warnings, ended, err)
		}
		if got := s.heard(); got != "n1:a n2:b n1:close n2:close" {
			t.Errorf("asked %q", got)
		}
	})
}

func TestWarnsOfNodesThatCannotBeAsked(t *testing.T) {
	play(t, func(s *scene) {
		s.setAway("n2", true)
		r := s.subscribe(&controlpb.SubscribeLogsRequest{ServiceIds: []string{"web"}})
		// n1 was asked and never answers.
		time.Sleep(7 * time.Second)
		_, warnings, ended, err := r.view()
		want := "node n2 is not connected: logs of task b are missing; node n1 does not answer: logs of task a are missing"
		if warnings != want || !ended || err != nil {
			t.Errorf("warned %q, ended %v with %v", warnings, ended, err)
		}
	})
}

func TestFollowsNewTasks(t *testing.T) {
	play(t, func(s *scene) {
		r := s.subscribe(&controlpb.SubscribeLogsRequest{ServiceIds: []string{"web"}, Options: &logspb.LogOptions{Follow: true, Tail: 1}})
		finish(t, s.publish("n1", line("a", 1))) // a ended
		s.task("c", "n1")
		time.Sleep(10 * time.Millisecond)
		if sub := s.sub("n1"); sub.GetOptions().GetTail() != -1 || strings.Join(sub.GetTaskIds(), " ") != "c" {
			t.Errorf("n1 was asked for %v, want all of c", sub)
		}
		s.publish("n1", line("c", 2))
		time.Sleep(time.Second)
		lines, warnings, ended, _ := r.view()
		if lines != "a1 c2" || warnings != "" || ended {
			t.Errorf("read %q, warned %q, ended %v", lines, warnings, ended)
		}
		r.stop()
		time.Sleep(time.Second)
		if got := s.heard(); !strings.HasSuffix(got, "n1:close n2:close") {
			t.Errorf("asked %q, want it closed", got)
		}
	})
}

// TestFollowSurvivesALostNode breaks a stream in the middle: the node is asked
// again from there, and lines that come twice are left out.
func TestFollowSurvivesALostNode(t *testing.T) {
	play(t, func(s *scene) {
		r := s.subscribe(&controlpb.SubscribeLogsRequest{TaskIds: []string{"b"}, Options: &logspb.LogOptions{Follow: true, Tail: 5}})
		s.publish("n2", line("b", 1), line("b", 2))
		s.setAway("n2", true)
		s.network.Break("n2")
		time.Sleep(10 * time.Second)
		if _, warnings, _, _ := r.view(); warnings != "node n2 is not connected: logs of task b are missing" {
			t.Errorf("warned %q", warnings)
		}
		s.setAway("n2", false)
		time.Sleep(2 * time.Second)
		if since := s.sub("n2").GetOptions().GetSince().AsTime(); !since.Equal(time.Unix(2, 1)) {
			t.Errorf("asked again since %v, want right after the last line", since)
		}
		s.publish("n2", line("b", 2), line("b", 3))
		time.Sleep(time.Second)
		if lines, _, ended, _ := r.view(); lines != "b1 b2 b3" || ended {
			t.Errorf("read %q, ended %v", lines, ended)
		}
	})
}

// TestSlowClientHoldsNodesBack: what nobody takes, nodes do not send.
func TestSlowClientHoldsNodesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSubscription("s", &controlpb.SubscribeLogsRequest{TaskIds: []string{"a"}}, nil)
		s.tasks["a"] = origin{nodeID: "n1"}
		a := &answer{lines: s.merge.Join()}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		sent := 0
		for s.put(ctx, "n1", a, &logspb.PublishLogsRequest{Messages: []*logspb.LogMessage{line("a", sent)}}) == nil {
			sent++
		}
		if sent == 0 || sent > 2048 {
			t.Errorf("%d messages were taken with nobody reading", sent)
		}
		time.AfterFunc(time.Second, s.end)
		if err := s.put(t.Context(), "n1", a, &logspb.PublishLogsRequest{Messages: []*logspb.LogMessage{line("a", sent)}}); !errdefs.IsNotFound(err) {
			t.Errorf("put after the end: %v", err)
		}
	})
}

func TestRefusals(t *testing.T) {
	play(t, func(s *scene) {
		for name, tt := range map[string]struct {
			req  *controlpb.SubscribeLogsRequest
			want func(error) bool
		}{
			"no service":       {&controlpb.SubscribeLogsRequest{ServiceIds: []string{"db"}}, errdefs.IsNotFound},
			"no task":          {&controlpb.SubscribeLogsRequest{TaskIds: []string{"z"}}, errdefs.IsNotFound},
			"later than until": {&controlpb.SubscribeLogsRequest{TaskIds: []string{"a"}, Options: &logspb.LogOptions{Since: timestamppb.New(time.Unix(2, 0)), Until: timestamppb.New(time.Unix(1, 0))}}, errdefs.IsInvalidArgument},
			"no time":          {&controlpb.SubscribeLogsRequest{TaskIds: []string{"a"}, Options: &logspb.LogOptions{Until: &timestamppb.Timestamp{Nanos: -1}}}, errdefs.IsInvalidArgument},
			"very many tasks":  {&controlpb.SubscribeLogsRequest{TaskIds: make([]string, 1001)}, errdefs.IsInvalidArgument},
			"and services":     {&controlpb.SubscribeLogsRequest{ServiceIds: make([]string, 1001)}, errdefs.IsInvalidArgument},
			"nothing":          {&controlpb.SubscribeLogsRequest{}, errdefs.IsInvalidArgument},
		} {
			if _, _, ended, err := s.subscribe(tt.req).view(); !ended || !tt.want(err) {
				t.Errorf("%s: ended %v with %v", name, ended, err)
			}
		}
		// A node that nobody asked may not publish.
		r := s.subscribe(&controlpb.SubscribeLogsRequest{TaskIds: []string{"a"}, Options: &logspb.LogOptions{Follow: true}})
		for node, want := range map[string]func(error) bool{"n2": errdefs.IsPermissionDenied} {
			stream, err := s.client(node).PublishLogs(s.t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(&logspb.PublishLogsRequest{SubscriptionId: s.sub("n1").GetId(), Messages: []*logspb.LogMessage{line("a", 1)}})
			if _, err := stream.CloseAndRecv(); !want(err) {
				t.Errorf("%s published: %v", node, err)
			}
		}
		if lines, _, _, _ := r.view(); lines != "" {
			t.Errorf("read %q", lines)
		}
		if s.heard() != "n1:a" {
			t.Errorf("asked %q", s.heard())
		}
	})
}

// A node that sent its beginning later, and much of it, loses nothing of the
// order: nobody's lines go out before the other has a line or is at its end.
func TestLinesOfNodesAreMerged(t *testing.T) {
	play(t, func(s *scene) {
		r := s.subscribe(&controlpb.SubscribeLogsRequest{ServiceIds: []string{"web"}, Options: &logspb.LogOptions{Tail: -1}})
		var want []string
		var a, b []*logspb.LogMessage
		for i := range 2000 {
			a, b = append(a, line("a", 2*i)), append(b, line("b", 2*i+1))
			want = append(want, text(a[i:]), text(b[i:]))
		}
		one := s.publish("n1", a[:1000]...)
		time.Sleep(3 * time.Second)
		if lines, _, _, _ := r.view(); lines != "" {
			t.Errorf("without n2 were sent %d lines", len(strings.Fields(lines)))
		}
		two := s.publish("n2", b...)
		if err := one.Send(&logspb.PublishLogsRequest{Messages: a[1000:]}); err != nil {
			t.Fatal(err)
		}
		finish(t, one)
		finish(t, two)
		time.Sleep(time.Second)
		if lines, warnings, ended, err := r.view(); lines != strings.Join(want, " ") || warnings != "" || !ended || err != nil {
			t.Errorf("%d lines out of order or not all, warned %q, ended %v with %v", len(strings.Fields(lines)), warnings, ended, err)
		}
	})
}

// A node that falls silent in the middle is named, and the rest is shown.
func TestNodeThatFallsSilent(t *testing.T) {
	play(t, func(s *scene) {
		r := s.subscribe(&controlpb.SubscribeLogsRequest{ServiceIds: []string{"web"}, Options: &logspb.LogOptions{Tail: -1}})
		s.publish("n1", line("a", 1))
		finish(t, s.publish("n2", line("b", 2), line("b", 3)))
		time.Sleep(7 * time.Second)
		lines, warnings, ended, err := r.view()
		if lines != "a1 b2 b3" || warnings != "node n1 has sent nothing for 5s: logs of task a may be incomplete" || !ended || err != nil {
			t.Errorf("read %q, warned %q, ended %v with %v", lines, warnings, ended, err)
		}
	})
}

// Following ends by itself once nothing more can come.
func TestFollowingEnds(t *testing.T) {
	follow := &logspb.LogOptions{Follow: true, Tail: -1}
	ofTask := &controlpb.SubscribeLogsRequest{TaskIds: []string{"a"}, Options: follow}
	ofService := &controlpb.SubscribeLogsRequest{ServiceIds: []string{"web"}, Options: follow}
	for name, tt := range map[string]struct {
		req  *controlpb.SubscribeLogsRequest
		then func(*scene)
		ends bool
	}{
		"a task that runs": {ofTask, func(s *scene) { s.publish("n1", line("a", 1)) }, false},
		"a task has ended": {ofTask, func(s *scene) { s.observe("a", lifecycle.Complete); finish(s.t, s.publish("n1", line("a", 1))) }, true},
		"a task never started": {ofTask, func(s *scene) {
			s.observe("a", lifecycle.Rejected)
			s.publish("n1")
		}, true},
		"a task of a node that is away": {ofTask, func(s *scene) { s.setAway("n1", true); s.observe("a", lifecycle.Complete) }, true},
		"a task is gone":                {ofTask, func(s *scene) { s.propose(state.DeleteTask("a")) }, true},
		"the tasks of a service ended": {ofService, func(s *scene) {
			s.observe("a", lifecycle.Complete)
			s.observe("b", lifecycle.Complete)
			finish(s.t, s.publish("n1"))
			finish(s.t, s.publish("n2"))
		}, false},
		"a service is removed": {ofService, func(s *scene) {
			s.propose(state.DeleteService("web"), state.DeleteTask("a"), state.DeleteTask("b"))
			finish(s.t, s.publish("n1"))
			finish(s.t, s.publish("n2"))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				r := s.subscribe(tt.req)
				tt.then(s)
				time.Sleep(8 * time.Second)
				if _, _, ended, err := r.view(); ended != tt.ends || err != nil {
					t.Errorf("ended %v with %v, want %v", ended, err, tt.ends)
				}
			})
		})
	}
}

// The client knows who prints, so that it can tell of whom lines may be missing
// when this manager is lost.
func TestClientKnowsWhoPrints(t *testing.T) {
	play(t, func(s *scene) {
		r := s.subscribe(&controlpb.SubscribeLogsRequest{ServiceIds: []string{"web"}, Options: &logspb.LogOptions{Follow: true}})
		for _, id := range []string{"n1", "n2"} {
			s.publish(id)
		}
		time.Sleep(3 * time.Second)
		s.observe("a", lifecycle.Complete)
		time.Sleep(2 * time.Second)
		s.task("c", "n1")
		time.Sleep(2 * time.Second)
		s.propose(state.DeleteTask("b"))
		time.Sleep(2 * time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if got := strings.Join(r.printing, " "); got != "a+b b b+c c" {
			t.Errorf("it was told %q", got)
		}
	})
}
