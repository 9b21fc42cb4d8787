package task

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/internal/text"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/executor/executortest"
)

// node is what one controller under test runs on.
type node struct {
	t    *testing.T
	fake *executortest.Fake

	mu            sync.Mutex
	reports       []*clusterpb.TaskStatus
	saved         *clusterpb.TaskStatus
	lowWater      uint64
	lowWaterMoved chan struct{}
	connections   int
	uncountable   error // what Connections returns
	counts        int
	listensAt     time.Time

	ctl  *Controller
	stop func() // the daemon, not the task
}

func (n *node) Up(context.Context) error { return nil }

func (n *node) Left(ctx context.Context, index uint64) error {
	for {
		n.mu.Lock()
		ok, moved := n.lowWater >= index, n.lowWaterMoved
		n.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}

func (n *node) raise(lowWater uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lowWater = lowWater
	close(n.lowWaterMoved)
	n.lowWaterMoved = make(chan struct{})
}

func (n *node) Connections(context.Context, []netip.Addr) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counts++
	return n.connections, n.uncountable
}

func (n *node) setConnections(k int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.connections = k
}

func newNode(t *testing.T) *node {
	t.Helper()
	return &node{t: t, fake: executortest.New(), lowWaterMoved: make(chan struct{})}
}

// order tells the controller what managers want of its task.
func (n *node) order(t *clusterpb.Task) { n.ctl.Order(&dispatchpb.TaskAssignment{Task: t}) }

// run starts a controller, as the daemon does.
func (n *node) run(exec executor.Executor, task *clusterpb.Task, status *clusterpb.TaskStatus) {
	ctx, cancel := context.WithCancel(n.t.Context())
	n.ctl = New(Config{
		Executor: exec, Mesh: n, Changed: func() {}, Log: slog.New(slog.DiscardHandler),
		HostPorts: func(t *clusterpb.Task) ([]*clusterpb.Port, error) { return t.GetPorts(), nil },
		Save: func(_ string, st *clusterpb.TaskStatus) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.saved = st
			return nil
		},
		Report: func(_ string, st *clusterpb.TaskStatus) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.reports = append(n.reports, st)
		},
	}, &dispatchpb.TaskAssignment{Task: task}, status)
	done := make(chan struct{})
	go func() { defer close(done); n.ctl.Run(ctx) }()
	n.stop = func() { cancel(); <-done }
}

// want compares the states reported so far, in order and without repeats.
func (n *node) want(states string) {
	n.t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	var got []string
	for _, r := range n.reports {
		if s := lifecycle.Name(r.GetState()); len(got) == 0 || got[len(got)-1] != s {
			got = append(got, s)
		}
	}
	if s := strings.Join(got, " "); s != states {
		n.t.Errorf("reported %q, want %q", s, states)
	}
}

func (n *node) last() *clusterpb.TaskStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.reports) == 0 {
		return nil
	}
	return n.reports[len(n.reports)-1]
}

func web(desired clusterpb.TaskState) *clusterpb.Task {
	return &clusterpb.Task{
		Id: "t1", Desired: desired, DesiredIndex: 10, Attachments: []*clusterpb.Attachment{{NetworkId: "ingress", Addresses: []string{"10.0.0.2"}}},
		Ports: []*clusterpb.Port{{Published: 80, Target: 80}},
		Spec:  &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "web"}}},
	}
}

var assigned = &clusterpb.TaskStatus{State: lifecycle.Assigned}

func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.run(n.fake, web(lifecycle.Ready), assigned)
		defer func() { n.stop() }()
		n.want("accepted preparing ready")
		n.order(web(lifecycle.Running))
		n.want("accepted preparing ready starting running")
		if !n.ctl.Snapshot().Serving {
			t.Error("a running task is not serving")
		}
		n.fake.End("t1", executor.Exit{Code: 3})
		n.want("accepted preparing ready starting running failed")
		if s := n.last(); s.GetErr() != "exit status 3" || pod.MainStatus(s).GetExitCode() != 3 {
			t.Errorf("ended as %v", s)
		}
		if n.ctl.Snapshot().Serving || n.ctl.Snapshot().Attached {
			t.Error("a failed task still serves or is attached")
		}
		if n.fake.Count("Release", "t1") != 1 || n.fake.Count("Remove", "t1") != 0 {
			t.Error("want it released, and its logs kept")
		}
		n.ctl.Discard()
		synctest.Wait()
		if n.fake.Count("Remove", "t1") != 1 {
			t.Error("a forgotten task was not removed")
		}
	})
}

func TestEnds(t *testing.T) {
	tests := map[string]struct {
		behaviour executortest.Behaviour
		want, err string
	}{
		"completes":         {executortest.Behaviour{ExitAfter: time.Second}, "accepted preparing ready starting running complete", ""},
		"cannot be pulled":  {executortest.Behaviour{PrepareErr: errors.New("pull web: no such image")}, "accepted preparing rejected", "pull web: no such image"},
		"cannot be started": {executortest.Behaviour{StartErr: errors.New("exec: not found")}, "accepted preparing ready failed", "start: exec: not found"},
		"out of memory": {
			executortest.Behaviour{ExitAfter: time.Second, Exit: executor.Exit{Code: 137, OOMKilled: true}},
			"accepted preparing ready starting running failed", "exit status 137: killed for lack of memory (limit reached)",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				n.fake.Script("web", tt.behaviour)
				n.run(n.fake, web(lifecycle.Running), assigned)
				defer func() { n.stop() }()
				time.Sleep(5 * time.Second)
				n.want(tt.want)
				if got := n.last().GetErr(); got != tt.err {
					t.Errorf("err %q, want %q", got, tt.err)
				}
			})
		})
	}
}

// TestStopDrains walks through the whole handshake.
func TestStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.fake.Script("web", executortest.Behaviour{StopDelay: time.Second})
		n.run(n.fake, web(lifecycle.Running), assigned)
		defer func() { n.stop() }()
		synctest.Wait()
		n.setConnections(2)

		stop := web(lifecycle.Shutdown)
		stop.DesiredIndex = 20
		n.order(stop)
		synctest.Wait()
		if n.ctl.Snapshot().Serving {
			t.Error("still in this node's mesh")
		}
		time.Sleep(2 * time.Second)
		n.raise(19)
		time.Sleep(time.Second)
		n.setConnections(0)
		time.Sleep(time.Second)
		if n.fake.Count("Signal", "t1") != 0 {
			t.Fatal("signalled before every node's mesh let go")
		}
		n.setConnections(1)
		n.raise(20)
		time.Sleep(3 * time.Second)
		if n.fake.Count("Signal", "t1") != 0 {
			t.Fatal("signalled with a connection open")
		}
		n.setConnections(0)
		time.Sleep(200 * time.Millisecond)
		if n.fake.Count("Signal", "t1") != 1 {
			t.Fatal("not signalled once idle")
		}
		time.Sleep(time.Second)
		n.want("accepted preparing ready starting running shutdown")
		if n.fake.Count("Kill", "t1") != 0 {
			t.Error("killed although it ended in time")
		}
	})
}

// TestStopWithoutCounts: connections that cannot be counted are waited for, and
// counted again less and less often.
func TestStopWithoutCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.run(n.fake, web(lifecycle.Running), assigned)
		defer func() { n.stop() }()
		synctest.Wait()
		n.uncountable = errors.New("no buffer space")
		stop := web(lifecycle.Shutdown)
		pod.Main(stop.Spec).DrainTimeout = durationpb.New(time.Minute)
		n.order(stop)
		time.Sleep(50 * time.Second)
		n.mu.Lock()
		if n.counts < 10 || n.counts > 35 {
			t.Errorf("counted %d times in 50 s", n.counts)
		}
		n.uncountable = nil
		n.mu.Unlock()
		if n.fake.Count("Signal", "t1") != 0 {
			t.Error("signalled though nobody knows that it is idle")
		}
		time.Sleep(maxPoll + pollPeriod)
		if n.fake.Count("Signal", "t1") != 1 {
			t.Error("not signalled once idle")
		}
	})
}

// TestStopIsBounded has every party stuck: mesh, connections and process.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.fake.Script("web", executortest.Behaviour{IgnoreStop: true})
		n.run(n.fake, web(lifecycle.Running), assigned)
		defer func() { n.stop() }()
		synctest.Wait()
		n.setConnections(1)
		stop := web(lifecycle.Shutdown)
		pod.Main(stop.Spec).DrainTimeout = durationpb.New(3 * time.Second)
		pod.Main(stop.Spec).StopGracePeriod = durationpb.New(4 * time.Second)
		start := time.Now()
		n.order(stop)
		at := map[string]time.Duration{}
		time.Sleep(20 * time.Second)
		for _, c := range n.fake.Calls() {
			at[c.Method] = c.At.Sub(start)
		}
		if at["Signal"] != leaveTimeout+3*time.Second || at["Kill"] != at["Signal"]+4*time.Second {
			t.Errorf("signal after %v and kill after %v, want 8s and 12s", at["Signal"], at["Kill"])
		}
		n.want("accepted preparing ready starting running shutdown")
	})
}

func TestStopWithoutPortsIsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		job := web(lifecycle.Running)
		job.Ports = nil
		n.run(n.fake, job, assigned)
		defer func() { n.stop() }()
		synctest.Wait()
		start := time.Now()
		job = web(lifecycle.Shutdown)
		job.Ports = nil
		n.order(job)
		n.want("accepted preparing ready starting running shutdown")
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

func TestStopCutsPreparationShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.fake.Script("web", executortest.Behaviour{PrepareDelay: time.Hour})
		n.run(n.fake, web(lifecycle.Running), assigned)
		defer func() { n.stop() }()
		n.want("accepted preparing")
		n.order(web(lifecycle.Remove))
		n.want("accepted preparing shutdown")
	})
}

func TestDiscardStopsAtOnceAndSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.run(n.fake, web(lifecycle.Running), assigned)
		defer func() { n.stop() }()
		synctest.Wait()
		n.setConnections(5)
		n.ctl.Discard()
		n.want("accepted preparing ready starting running")
		if n.fake.Count("Signal", "t1") != 1 || n.fake.Count("Remove", "t1") != 1 {
			t.Errorf("want it signalled and removed, got %v", n.fake.Calls())
		}
	})
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.fake.Script("web", executortest.Behaviour{
			HealthyAfter: 5 * time.Second, UnhealthyAfter: 60 * time.Second,
			Health: &clusterpb.HealthCheck{
				Test: []string{"CMD", "probe"}, Interval: durationpb.New(2 * time.Second), Timeout: durationpb.New(time.Second),
				StartPeriod: durationpb.New(10 * time.Second), StartInterval: durationpb.New(time.Second), Retries: 2,
			},
		})
		n.run(n.fake, web(lifecycle.Running), assigned)
		defer func() { n.stop() }()
		n.want("accepted preparing ready starting")
		time.Sleep(6 * time.Second)
		n.want("accepted preparing ready starting running")
		before := len(n.reports)
		time.Sleep(30 * time.Second)
		if len(n.reports) != before {
			t.Errorf("%d reports while healthy, want none", len(n.reports)-before)
		}
		n.setConnections(1)
		time.Sleep(27500 * time.Millisecond) // unhealthy at the second failure
		if s := n.last(); s.GetState() != lifecycle.Running || s.GetHealth().GetState() != clusterpb.HealthStatus_STATE_UNHEALTHY {
			t.Errorf("the last report is %v, want running and unhealthy", s)
		}
		if n.ctl.Snapshot().Serving {
			t.Error("an unhealthy task serves")
		}
		time.Sleep(sickDrain)
		n.want("accepted preparing ready starting running failed")
		if !strings.HasPrefix(n.last().GetErr(), "unhealthy") {
			t.Errorf("err %q, want unhealthy", n.last().GetErr())
		}
		if len(n.fake.Running()) != 0 {
			t.Error("the process goes on")
		}
	})
}

// TestWhatAProcessPrintsIsData: a check that prints what no message can hold
// is reported like any other, and saved.
func TestWhatAProcessPrintsIsData(t *testing.T) {
	for name, output := range map[string]string{
		"not UTF-8": "\377\376 it works", "cut inside of a character": strings.Repeat("éx", 2100), "a terminal's orders": "\x1b[2J\x00",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				n.fake.Script("web", executortest.Behaviour{HealthyAfter: time.Second, Output: output, Health: &clusterpb.HealthCheck{
					Test: []string{"CMD", "probe"}, Interval: durationpb.New(time.Second), Timeout: durationpb.New(time.Second), Retries: 2,
				}})
				n.run(n.fake, web(lifecycle.Running), assigned)
				defer func() { n.stop() }()
				time.Sleep(10 * time.Second)
				for what, s := range map[string]*clusterpb.TaskStatus{"the report": n.last(), "what is saved": n.saved} {
					if len(s.GetHealth().GetLog()) == 0 {
						t.Fatalf("%s has no results: %v", what, s)
					}
					if _, err := proto.Marshal(s); err != nil || text.Check(s) != nil {
						t.Errorf("%s cannot be sent: %v", what, err)
					}
					for _, r := range s.GetHealth().GetLog() {
						if strings.ContainsAny(r.GetOutput(), "\x1b\x00") || len(r.GetOutput()) > text.MaxObserved {
							t.Errorf("%s quotes %q", what, r.GetOutput())
						}
					}
				}
			})
		})
	}
}

// TestAdoption restarts the daemon around a running task.
func TestAdoption(t *testing.T) {
	tests := map[string]struct {
		meanwhile func(*executortest.Fake)
		want, err string
	}{
		"runs on":        {func(*executortest.Fake) {}, "", ""},
		"ended well":     {func(f *executortest.Fake) { f.End("t1", executor.Exit{}) }, "complete", ""},
		"ended badly":    {func(f *executortest.Fake) { f.End("t1", executor.Exit{Code: 9}) }, "failed", "exit status 9"},
		"machine reboot": {func(f *executortest.Fake) { f.Reboot() }, "failed", errGone.Error()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				n.run(n.fake, web(lifecycle.Running), assigned)
				synctest.Wait()
				n.stop()
				if len(n.fake.Running()) != 1 {
					t.Fatal("stopping the daemon stopped the task")
				}
				tt.meanwhile(n.fake)
				n.reports = nil
				n.run(n.fake, web(lifecycle.Running), n.saved)
				defer func() { n.stop() }()
				if s := n.ctl.Snapshot(); !s.Serving && tt.want == "" {
					t.Error("a gap: the adopted task is not in the mesh at once")
				}
				n.want(tt.want)
				if got := n.last().GetErr(); got != tt.err {
					t.Errorf("err %q, want %q", got, tt.err)
				}
				if n.fake.Count("Start", "t1") != 1 {
					t.Errorf("started %d times, want once", n.fake.Count("Start", "t1"))
				}
			})
		})
	}
}

// TestAdoptedTaskIsPastItsStartPeriod: failures are not forgiven anew because
// the daemon restarted.
func TestAdoptedTaskIsPastItsStartPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.fake.Script("web", executortest.Behaviour{
			HealthyAfter: time.Second, UnhealthyAfter: 10 * time.Second,
			Health: &clusterpb.HealthCheck{
				Test: []string{"CMD", "probe"}, Interval: durationpb.New(time.Second), Timeout: durationpb.New(time.Second),
				StartPeriod: durationpb.New(time.Hour), StartInterval: durationpb.New(time.Second), Retries: 2,
			},
		})
		n.run(n.fake, web(lifecycle.Running), assigned)
		time.Sleep(5 * time.Second)
		n.want("accepted preparing ready starting running")
		n.stop()
		time.Sleep(10 * time.Second) // it turns unhealthy meanwhile
		n.run(n.fake, web(lifecycle.Running), n.saved)
		defer func() { n.stop() }()
		time.Sleep(20 * time.Second)
		n.want("accepted preparing ready starting running failed")
	})
}
