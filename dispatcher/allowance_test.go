package dispatcher

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

func TestAllowance(t *testing.T) {
	tests := map[string]struct {
		bytes             int
		every             time.Duration
		atMost, inAMinute int
	}{
		"small, as fast as can be":    {0, 0, 20, 140},
		"small, now and then":         {100, time.Second, 1, 60},
		"a list of images of 512 KiB": {512 << 10, 0, 3, 16},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Unix(1000, 0)
			var a allowance
			writes, first := 0, 0
			for now := start; now.Before(start.Add(time.Minute)); {
				if wait := a.wait(now); wait > 0 {
					now = now.Add(wait)
					continue
				}
				a.spend(now, tt.bytes)
				writes++
				if now.Equal(start) {
					first++
				}
				now = now.Add(tt.every)
			}
			if first != tt.atMost || writes > tt.inAMinute || writes < tt.inAMinute*9/10 {
				t.Errorf("%d at once and %d in a minute, want %d and about %d", first, writes, tt.atMost, tt.inAMinute)
			}
		})
	}
}

// twoTasks is a state in which a is a task of n1, and b one of n2.
func twoTasks(t *testing.T) *state.State {
	t.Helper()
	return stateOf(t,
		state.CreateTask(&clusterpb.Task{Id: "a", ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{}}),
		state.CreateTask(&clusterpb.Task{Id: "b", ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{}}),
		state.AssignTask("a", "n1", nil), state.AssignTask("b", "n2", nil))
}

// TestNodeThatSaysSomethingNewAllTheTime costs few writes, whatever it speaks
// of; the newest is written down in the end, the states of its tasks and what
// others say at once, and a warning names it.
func TestNodeThatSaysSomethingNewAllTheTime(t *testing.T) {
	const minute, gap = time.Minute, time.Millisecond
	describe := func(q *statusQueue, i int) {
		q.putNode(&raftpb.ObserveNode{Id: "n1", Description: &clusterpb.NodeDescription{Hostname: fmt.Sprint("h", i)}})
	}
	hold := func(q *statusQueue, i int) {
		q.putNode(images("n1", []*clusterpb.NodeImage{{Name: fmt.Sprint("web", i)}}))
	}
	tests := map[string]func(tm *term, s *session, i int){
		"its description": func(tm *term, _ *session, i int) { describe(tm.statuses, i) },
		"its images":      func(tm *term, _ *session, i int) { hold(tm.statuses, i) },
		"its state": func(tm *term, _ *session, i int) {
			d := &clusterpb.NodeDescription{}
			if i%2 == 0 {
				d.Troubles = []string{"ill"}
			}
			tm.statuses.putNode(&raftpb.ObserveNode{Id: "n1", Status: connected(d, daemon{}, time.Now())})
		},
		"details of a task": func(tm *term, s *session, i int) {
			tm.statuses.put(tm.cfg.Store.State(), s, uint64(i), []*dispatchpb.TaskReport{{
				TaskId: "a", Status: &clusterpb.TaskStatus{State: lifecycle.Assigned, Message: fmt.Sprint(i)},
			}})
		},
		"all of it": func(tm *term, s *session, i int) {
			describe(tm.statuses, i)
			hold(tm.statuses, i)
			tm.statuses.put(tm.cfg.Store.State(), s, uint64(i), []*dispatchpb.TaskReport{{
				TaskId: "a", Status: &clusterpb.TaskStatus{State: lifecycle.Assigned, Message: fmt.Sprint(i)},
			}})
		},
	}
	for name, say := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := &fakeStore{st: twoTasks(t)}
				tm := termOf(t, st)
				var log bytes.Buffer
				tm.log = slog.New(slog.NewTextHandler(&log, nil))
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { _ = tm.statusLoop(ctx) })
				n1, n2 := newSession("n1", daemon{}), newSession("n2", daemon{})

				i := 0
				for start := time.Now(); time.Since(start) < minute; i++ {
					say(tm, n1, i)
					time.Sleep(gap)
				}
				say(tm, n1, i)
				synctest.Wait()
				if n := st.triedTimes(); n < 100 || n > 150 {
					t.Errorf("%d writes in a minute, want about 140", n)
				}
				tm.statuses.put(st.State(), n2, 1, []*dispatchpb.TaskReport{{TaskId: "b", Status: &clusterpb.TaskStatus{State: lifecycle.Assigned, Message: "hello"}}})
				tm.statuses.put(st.State(), n1, uint64(i+1), []*dispatchpb.TaskReport{{TaskId: "a", Status: &clusterpb.TaskStatus{State: lifecycle.Running}}})
				synctest.Wait()
				var hello, running bool
				st.mu.Lock()
				for _, c := range st.written {
					hello = hello || c.GetObserveTask().GetStatus().GetMessage() == "hello"
					running = running || c.GetObserveTask().GetStatus().GetState() == lifecycle.Running
				}
				st.mu.Unlock()
				if !hello || !running {
					t.Errorf("written down at once: another's news %t, the state of a task %t", hello, running)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if n := len(tm.statuses.nodes) + len(tm.statuses.tasks) + len(tm.statuses.upTo); n != 0 {
					t.Errorf("%d news are held for ever", n)
				}
				if n1.out.recorded != 0 && n1.out.recorded != uint64(i+1) {
					t.Errorf("recorded up to %d of %d", n1.out.recorded, i+1)
				}
				cancel()
				wg.Wait()
				if n := strings.Count(log.String(), "node=n1"); n == 0 || n > 2 || strings.Contains(log.String(), "node=n2") {
					t.Errorf("%d warnings of n1, want one a minute, and none of n2:\n%s", n, log.String())
				}
			})
		})
	}
}

// TestHeldNewsOfANodeThatGoesDown are dropped: they are older than that.
func TestHeldNewsOfANodeThatGoesDown(t *testing.T) {
	q, now := newStatusQueue(), time.Unix(1000, 0)
	for range 2 * allowedAtOnce {
		q.putNode(isConnected("n1", "192.0.2.1:5", now))
		q.take(stateOf(t), now)
	}
	q.putNode(isConnected("n2", "192.0.2.2:5", now)) // is written down right now
	if len(q.nodes) != 2 {
		t.Fatalf("news of %d nodes wait, want 2", len(q.nodes))
	}
	q.drop([]string{"n1", "n2"})
	if q.nodes["n1"] != nil || q.nodes["n2"] == nil {
		t.Errorf("news of n1 are still there: %t, of n2: %t", q.nodes["n1"] != nil, q.nodes["n2"] != nil)
	}
}

// TestSessionsOfANodeWhoseNewsAreHeld: those that ended are forgotten.
func TestSessionsOfANodeWhoseNewsAreHeld(t *testing.T) {
	q, st, now := newStatusQueue(), twoTasks(t), time.Unix(1000, 0)
	for i := range 1000 {
		s := newSession("n1", daemon{})
		q.put(st, s, 1, []*dispatchpb.TaskReport{{TaskId: "a", Status: &clusterpb.TaskStatus{State: lifecycle.Assigned, Message: fmt.Sprint(i)}}})
		q.take(st, now)
		q.leave(s)
	}
	if len(q.upTo) != 0 || len(q.tasks) != 1 {
		t.Errorf("%d sessions and %d reports wait", len(q.upTo), len(q.tasks))
	}
}

// TestStatusThatIsTooLong: managers keep it for as long as the task.
func TestStatusThatIsTooLong(t *testing.T) {
	st := stateOf(t,
		state.CreateTask(&clusterpb.Task{
			Id: "a", ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{},
			Ports: make([]*clusterpb.Port, 2000),
		}),
		state.AssignTask("a", "n1", nil))
	ports := func(n int) *clusterpb.TaskStatus {
		s := &clusterpb.TaskStatus{State: lifecycle.Running}
		for i := range n {
			s.HostPorts = append(s.HostPorts, &clusterpb.Port{Target: 80, Published: uint32(30_000 + i)})
		}
		return s
	}
	containers := &clusterpb.TaskStatus{State: lifecycle.Failed, Containers: make([]*clusterpb.ContainerStatus, 100_000)}
	for i := range containers.Containers {
		containers.Containers[i] = &clusterpb.ContainerStatus{Id: fmt.Sprint(i)}
	}
	for name, tt := range map[string]struct {
		status *clusterpb.TaskStatus
		cut    bool
	}{
		"a port of the host for each of its own": {ports(2000), false},
		"more ports than there are":              {ports(65_000), true},
		"containers without number":              {containers, true},
	} {
		t.Run(name, func(t *testing.T) {
			q := newStatusQueue()
			q.put(st, newSession("n1", daemon{}), 1, []*dispatchpb.TaskReport{{TaskId: "a", Status: tt.status}})
			changes := q.take(st, time.Now()).changes
			if len(changes) != 1 {
				t.Fatalf("%d changes", len(changes))
			}
			got := changes[0].GetObserveTask().GetStatus()
			if cut := strings.Contains(got.GetErr(), "of which managers keep"); cut != tt.cut || got.GetState() != tt.status.GetState() {
				t.Errorf("%s, %q", got.GetState(), got.GetErr())
			}
		})
	}
}
