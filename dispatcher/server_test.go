package dispatcher_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher"
	"github.com/muster/muster/dispatcher/agent"
	"github.com/muster/muster/dispatcher/dispatchertest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// cluster is a real store, one dispatcher per manager address, and nodes.
type cluster struct {
	t       *testing.T
	store   *raftstore.Store
	network *dispatchertest.Network
	wg      sync.WaitGroup
	stops   []func()

	mu      sync.Mutex
	leader  string
	servers map[string]*dispatcher.Server
	deposed func()
}

// run calls f inside a bubble, with managers m1 and m2, of which m1 leads.
func run(t *testing.T, f func(*cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, store: storetest.New(t), network: dispatchertest.NewNetwork(), servers: map[string]*dispatcher.Server{}}
		defer func() {
			for _, stop := range slices.Backward(c.stops) {
				stop()
			}
			c.depose()
			c.wg.Wait()
		}()
		c.propose(state.CreateCluster(&raftpb.CreateCluster{Id: "c", Spec: &clusterpb.ClusterSpec{}}), storetest.Ingress())
		for _, addr := range []string{"m1", "m2"} {
			srv := dispatcher.New(dispatcher.Config{
				Store: c.store, Log: slog.New(slog.DiscardHandler),
				Leader: func() string { c.mu.Lock(); defer c.mu.Unlock(); return c.leader },
			})
			c.servers[addr] = srv
			c.goOn(func(ctx context.Context) error {
				return c.network.Serve(ctx, addr, func(s *grpc.Server) { dispatchpb.RegisterDispatcherServiceServer(s, srv) })
			})
		}
		c.lead("m1")
		f(c)
	})
}

// goOn runs f until the test ends.
func (c *cluster) goOn(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c.stops = append(c.stops, cancel)
	done := make(chan struct{})
	c.wg.Go(func() {
		defer close(done)
		if err := f(ctx); err != nil {
			c.t.Error(err)
		}
	})
	return func() { cancel(); <-done }
}

func (c *cluster) lead(addr string) {
	c.mu.Lock()
	c.leader = addr
	c.mu.Unlock()
	c.deposed = c.goOn(c.servers[addr].Lead)
	synctest.Wait()
}

func (c *cluster) depose() {
	if c.deposed != nil {
		c.deposed()
		c.deposed = nil
	}
}

func (c *cluster) propose(changes ...*raftpb.Change) {
	c.t.Helper()
	if err := c.store.Propose(c.t.Context(), changes...); err != nil {
		c.t.Fatal(err)
	}
}

// join adds a node and runs its session; stop is the end of its daemon.
func (c *cluster) join(id string) (w *dispatchertest.Worker, stop func()) {
	c.propose(known(id))
	return c.start(id)
}

func (c *cluster) start(id string) (w *dispatchertest.Worker, stop func()) {
	w = dispatchertest.NewWorker(id)
	stop = c.goOn(func(ctx context.Context) error {
		return agent.Run(ctx, agent.Config{
			Managers: func() []string { return []string{"m1", "m2"} }, Dial: c.network.Dialer(id),
			Handler: w, Log: slog.New(slog.DiscardHandler),
		})
	})
	c.until(id+" to be ready", func() bool { return c.state(id) == clusterpb.NodeStatus_STATE_READY && w.View().Sessions > 0 })
	time.Sleep(10 * time.Millisecond) // let the first assignments be acknowledged
	return w, stop
}

func (c *cluster) state(id string) clusterpb.NodeStatus_State {
	n, _ := c.store.State().Node(id)
	return n.GetStatus().GetState()
}

// until waits, on the fake clock, and returns how long it took.
func (c *cluster) until(what string, ok func() bool) time.Duration {
	c.t.Helper()
	start := time.Now()
	for ; !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			c.t.Fatalf("waited a minute for %s", what)
		}
	}
	return time.Since(start)
}

func (c *cluster) down(id string) func() bool {
	return func() bool { return c.state(id) == clusterpb.NodeStatus_STATE_DOWN }
}

// runs makes a task that runs on the node.
func (c *cluster) runs(id, node string) {
	c.propose(
		state.CreateTask(&clusterpb.Task{
			Id: id, ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{},
			Ports: []*clusterpb.Port{{Protocol: clusterpb.Port_PROTOCOL_TCP, Published: 80, Target: 80}},
		}),
		state.AssignTask(id, node, storetest.Attached(fmt.Sprintf("10.0.0.%d", len(id)+int(id[len(id)-1])))),
		state.ObserveTask(id, &clusterpb.TaskStatus{State: lifecycle.Running}),
	)
	time.Sleep(10 * time.Millisecond)
}

func TestLostNodeIsDownInThreeSeconds(t *testing.T) {
	run(t, func(c *cluster) {
		c.join("n1")
		time.Sleep(10 * time.Second)
		if c.state("n1") != clusterpb.NodeStatus_STATE_READY {
			t.Fatal("a node that sends heartbeats is not ready")
		}
		c.network.Stall("n1")
		if d := c.until("n1 to be down", c.down("n1")); d > 3*time.Second || d < 2*time.Second {
			t.Errorf("down after %v, want within the last heartbeat's 3 s", d)
		}
		c.network.Heal("n1")
		c.until("n1 to be back", func() bool { return c.state("n1") == clusterpb.NodeStatus_STATE_READY })
		time.Sleep(time.Minute)
		if c.state("n1") != clusterpb.NodeStatus_STATE_READY {
			t.Error("it did not stay ready")
		}
	})
}

func TestBrokenStreamAloneIsNoVerdict(t *testing.T) {
	run(t, func(c *cluster) {
		w, _ := c.join("n1")
		for range 20 {
			c.network.Break("n1")
			time.Sleep(2 * time.Second)
			if c.state("n1") != clusterpb.NodeStatus_STATE_READY {
				t.Fatal("a reconnect made the node down")
			}
		}
		if n := w.View().Sessions; n < 20 {
			t.Errorf("%d sessions, want one after each break", n)
		}
	})
}

func TestGossipSpeedsUpABrokenStream(t *testing.T) {
	run(t, func(c *cluster) {
		_, _ = c.join("n1")
		c.network.Stall("n1")
		c.network.Break("n1")
		time.Sleep(10 * time.Millisecond)
		c.servers["m1"].Suspect("n1")
		if d := c.until("n1 to be down", c.down("n1")); d > time.Second+10*time.Millisecond {
			t.Errorf("down after %v, want 1 s", d)
		}
	})
}

func TestSuspicionOfALivingNodeAsksIt(t *testing.T) {
	run(t, func(c *cluster) {
		c.join("n1")
		for range 100 {
			c.servers["m1"].Suspect("n1")
			time.Sleep(300 * time.Millisecond)
		}
		if c.state("n1") != clusterpb.NodeStatus_STATE_READY {
			t.Error("gossip alone made a node down")
		}
	})
}

func TestPlannedRestartKeepsTheNode(t *testing.T) {
	run(t, func(c *cluster) {
		_, stop := c.join("n1")
		stop()
		time.Sleep(20 * time.Second)
		if s := c.state("n1"); s != clusterpb.NodeStatus_STATE_DISCONNECTED {
			t.Fatalf("after a good-bye the node is %v", s)
		}
		_, stop = c.start("n1")
		time.Sleep(time.Minute)
		if s := c.state("n1"); s != clusterpb.NodeStatus_STATE_READY {
			t.Fatalf("after it came back the node is %v", s)
		}
		stop()
		if d := c.until("n1 to be down for good", c.down("n1")); d < 29*time.Second || d > 31*time.Second {
			t.Errorf("down after %v, want 30 s", d)
		}
	})
}

func TestQuickRestartEndsReady(t *testing.T) {
	run(t, func(c *cluster) {
		_, stop := c.join("n1")
		for range 10 {
			stop()
			_, stop = c.start("n1")
			time.Sleep(time.Second)
			if s := c.state("n1"); s != clusterpb.NodeStatus_STATE_READY {
				t.Fatalf("the node is %v", s)
			}
		}
	})
}

func TestNewLeaderLosesNobody(t *testing.T) {
	run(t, func(c *cluster) {
		w1, _ := c.join("n1")
		c.join("n2")
		time.Sleep(5 * time.Second)
		c.depose()
		time.Sleep(30 * time.Second) // nobody leads
		c.network.Stall("n2")
		c.lead("m2")
		if d := c.until("n2 to be down", c.down("n2")); d < 5*time.Second || d > 6*time.Second+10*time.Millisecond {
			t.Errorf("a silent node is down after %v, want two leases", d)
		}
		if c.state("n1") != clusterpb.NodeStatus_STATE_READY || w1.View().Sessions < 2 {
			t.Error("a node that reconnects was lost")
		}
	})
}

func TestLeadershipMovesAtOnce(t *testing.T) {
	run(t, func(c *cluster) {
		w, _ := c.join("n1")
		c.depose()
		c.lead("m2")
		if d := c.until("a session with m2", func() bool { return w.View().Sessions == 2 }); d > time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestRemovedNodeIsTurnedAway(t *testing.T) {
	run(t, func(c *cluster) {
		w, _ := c.join("n1")
		c.propose(state.DeleteNode("n1", nil))
		time.Sleep(30 * time.Second)
		if n := w.View().Sessions; n != 1 {
			t.Errorf("%d sessions, want none after the node was removed", n)
		}
	})
}

func TestStatusesAreRecordedOnceCommitted(t *testing.T) {
	run(t, func(c *cluster) {
		w1, _ := c.join("n1")
		w2, _ := c.join("n2")
		c.propose(
			state.CreateTask(&clusterpb.Task{Id: "a", ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{}}),
			state.AssignTask("a", "n1", nil),
		)
		w2.Report(1, "a", lifecycle.Failed) // not its task
		w1.Report(7, "a", lifecycle.Preparing)
		d := c.until("recorded", func() bool { return w1.View().Recorded == 7 && w2.View().Recorded == 1 })
		if d > 50*time.Millisecond {
			t.Errorf("recorded after %v", d)
		}
		if a, _ := c.store.State().Task("a"); a.GetStatus().GetState() != lifecycle.Preparing {
			t.Errorf("task is %v", a.GetStatus().GetState())
		}
		w1.Report(8, "a", lifecycle.Accepted)
		c.until("recorded", func() bool { return w1.View().Recorded == 8 })
		if a, _ := c.store.State().Task("a"); a.GetStatus().GetState() != lifecycle.Preparing {
			t.Errorf("a late report moved the task back to %v", a.GetStatus().GetState())
		}
	})
}

// TestLowWaterMarkHandshake: a task leaves the mesh; its node hears that it may stop
// once every live node has acknowledged that, and not before.
func TestLowWaterMarkHandshake(t *testing.T) {
	run(t, func(c *cluster) {
		w1, _ := c.join("n1")
		w2, _ := c.join("n2")
		c.propose(state.PutService(&raftpb.PutService{Id: "web", Spec: &clusterpb.ServiceSpec{Name: "web", Task: &clusterpb.TaskSpec{}}}))
		c.runs("a1", "n1")

		w2.Hold(true)
		c.propose(state.SetDesired("a1", lifecycle.Shutdown, ""))
		task, _ := c.store.State().Task("a1")
		time.Sleep(2 * time.Second)
		if f := w1.View().LowWaterMark; f >= task.GetDesiredIndex() {
			t.Fatalf("low-water mark %d although n2 has not acknowledged %d", f, task.GetDesiredIndex())
		}
		// Its neighbour was told: the endpoint is gone.
		msgs := w2.View().Messages
		if ports := msgs[len(msgs)-1].GetGonePorts(); len(ports) != 1 {
			t.Fatalf("n2 was last sent %v, want the port gone", msgs[len(msgs)-1])
		}
		w2.Hold(false)
		w2.Acknowledge()
		d := c.until("the low-water mark", func() bool { return w1.View().LowWaterMark >= task.GetDesiredIndex() })
		if d > 20*time.Millisecond {
			t.Errorf("took %v", d)
		}
	})
}

// TestLowWaterMarkPassesQuietNodes: a change that does not concern other nodes is
// not sent to them, and must not hold the low-water mark up.
func TestLowWaterMarkPassesQuietNodes(t *testing.T) {
	run(t, func(c *cluster) {
		w1, _ := c.join("n1")
		w2, _ := c.join("n2")
		c.propose(
			state.CreateTask(&clusterpb.Task{Id: "a", ServiceId: "web", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{}}),
			state.AssignTask("a", "n1", nil), state.ObserveTask("a", &clusterpb.TaskStatus{State: lifecycle.Running}),
		)
		time.Sleep(time.Second)
		before := len(w2.View().Messages)
		c.propose(state.SetDesired("a", lifecycle.Shutdown, ""))
		task, _ := c.store.State().Task("a")
		c.until("the low-water mark", func() bool { return w1.View().LowWaterMark >= task.GetDesiredIndex() })
		if n := len(w2.View().Messages); n != before {
			t.Errorf("n2 was sent %d messages", n-before)
		}
	})
}

func TestDeadNodeHoldsTheLowWaterMarkForItsLeaseOnly(t *testing.T) {
	run(t, func(c *cluster) {
		w1, _ := c.join("n1")
		c.join("n2")
		c.runs("a1", "n1")
		c.network.Stall("n2")
		c.propose(state.SetDesired("a1", lifecycle.Shutdown, ""))
		task, _ := c.store.State().Task("a1")
		d := c.until("the low-water mark", func() bool { return w1.View().LowWaterMark >= task.GetDesiredIndex() })
		if d < time.Second || d > 3*time.Second+100*time.Millisecond {
			t.Errorf("took %v, want the rest of n2's lease", d)
		}
	})
}

// TestSlowNodeDelaysOnlyItself has one node that reads nothing for a while.
func TestSlowNodeDelaysOnlyItself(t *testing.T) {
	run(t, func(c *cluster) {
		w1, _ := c.join("n1")
		w2, _ := c.join("n2")
		c.runs("a1", "n1")
		resume := w2.Slow()
		slowBefore, before := len(w2.View().Messages), len(w1.View().Messages)
		for i := range 50 {
			c.propose(
				state.CreateTask(&clusterpb.Task{Id: fmt.Sprint("x", i), ServiceId: "s", Desired: lifecycle.Running, Spec: &clusterpb.TaskSpec{
					Containers: []*clusterpb.ContainerSpec{{Env: []string{string(make([]byte, 8<<10))}}},
				}}),
				state.AssignTask(fmt.Sprint("x", i), []string{"n1", "n2"}[i%2], storetest.Attached(fmt.Sprintf("10.1.0.%d", i+1))),
			)
			d := c.until("n1 to hear", func() bool { return w1.View().Index >= c.store.State().Index })
			if d > 20*time.Millisecond {
				t.Fatalf("n1 heard after %v", d)
			}
		}
		resume()
		c.until("n2 to catch up", func() bool { return len(w2.View().Tasks) == 25 })
		fast, slow := len(w1.View().Messages)-before, len(w2.View().Messages)-slowBefore
		if fast != 50 || slow > 40 {
			t.Errorf("n1 was sent %d messages, want 50, and n2 %d, want fewer: what it missed in one", fast, slow)
		}
	})
}

func TestLogSubscriptionsReachTheNode(t *testing.T) {
	run(t, func(c *cluster) {
		w, stop := c.join("n1")
		if err := c.servers["m1"].SubscribeLogs("n1", &dispatchpb.LogSubscription{Id: "s1"}); err != nil {
			t.Fatal(err)
		}
		c.until("the subscription", func() bool { return len(w.View().Logs) == 1 })
		stop()
		time.Sleep(time.Second)
		if err := c.servers["m1"].SubscribeLogs("n1", &dispatchpb.LogSubscription{Id: "s2"}); err == nil {
			t.Error("no error for a node that is not connected")
		}
	})
}
