package integration_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/muster/muster/integration/cluster"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/worker/executor/executortest"
)

// lossTime is how long it may take to replace what ran on a node that is
// lost: its lease, and half a second to decide and start.
const lossTime = 3500 * time.Millisecond

// running returns the tasks of a service that are served by a node.
func running(c *cluster.Cluster, service string, n *cluster.Node) (list []string) {
	for _, t := range c.Serving(service) {
		if t.GetNodeId() == n.ID {
			list = append(list, t.GetId())
		}
	}
	slices.Sort(list)
	return list
}

// six runs six replicas on w1, w2 and w3 and returns the tasks on w1 and those
// elsewhere.
func six(c *cluster.Cluster) (here, elsewhere []string) {
	c.CreateService("web", 6)
	c.Eventually("six tasks", func() bool { return len(c.Serving("web")) == 6 })
	here = running(c, "web", c.Nodes["w1"])
	for _, id := range ids(c.Serving("web")) {
		if !slices.Contains(here, id) {
			elsewhere = append(elsewhere, id)
		}
	}
	return here, elsewhere
}

// TestLostNodeIsReplaced switches a machine off.
func TestLostNodeIsReplaced(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(_ context.Context, c *cluster.Cluster) {
		_, elsewhere := six(c)
		time.Sleep(time.Minute)
		w1 := c.Nodes["w1"]
		c.PowerOff(w1)
		took := c.Within(lossTime, "six tasks elsewhere", func() bool {
			return len(c.Serving("web")) == 6 && len(running(c, "web", w1)) == 0
		})
		t.Logf("replaced after %v", took)
		if !contains(ids(c.Serving("web")), elsewhere...) {
			t.Error("tasks of other nodes were restarted")
		}
		starts := started(c)
		c.Restart(w1)
		time.Sleep(time.Minute)
		if got := started(c); got != starts {
			t.Errorf("%d containers were started when the node came back", got-starts)
		}
		if list := w1.Runtime.Running(); len(list) != 0 {
			t.Errorf("%v run on the node that came back", list)
		}
	})
}

// TestPartitionedNode: it keeps what it runs while nobody reaches it, and
// stops what was replaced when it is back.
func TestPartitionedNode(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(_ context.Context, c *cluster.Cluster) {
		here, elsewhere := six(c)
		time.Sleep(time.Minute)
		w1 := c.Nodes["w1"]
		c.Isolate(w1)
		c.Within(lossTime, "six tasks elsewhere", func() bool {
			return len(c.Serving("web")) == 6 && len(running(c, "web", w1)) == 0
		})
		time.Sleep(10 * time.Minute)
		if diff := cmp.Diff(here, w1.Runtime.Running()); diff != "" {
			t.Errorf("tasks that the partitioned node runs (-want +got):\n%s", diff)
		}
		now := ids(c.Serving("web"))
		if !contains(now, elsewhere...) {
			t.Error("tasks of other nodes were restarted")
		}
		c.Heal()
		c.Within(30*time.Second, "the stale tasks to stop", func() bool { return len(w1.Runtime.Running()) == 0 })
		time.Sleep(time.Minute)
		if diff := cmp.Diff(now, ids(c.Serving("web"))); diff != "" {
			t.Errorf("tasks after the return (-want +got):\n%s", diff)
		}
	})
}

// TestShortPartition: who is back within the lease has lost nothing.
func TestShortPartition(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(_ context.Context, c *cluster.Cluster) {
		six(c)
		before := ids(c.Serving("web"))
		for _, n := range c.Nodes {
			time.Sleep(10 * time.Second)
			c.Isolate(n)
			time.Sleep(1800 * time.Millisecond)
			c.Heal()
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff(before, ids(c.Serving("web"))); diff != "" {
			t.Errorf("tasks after short partitions of every node (-want +got):\n%s", diff)
		}
	})
}

// TestDaemonRestartKeepsTasks restarts every daemon, killed or stopped.
func TestDaemonRestartKeepsTasks(t *testing.T) {
	stops := map[string]func(*cluster.Cluster, *cluster.Node){
		"killed":  (*cluster.Cluster).Crash,
		"stopped": (*cluster.Cluster).StopGracefully,
	}
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			cluster.Run(t, cluster.Config{Managers: 3, Workers: 3, Mixed: true}, func(_ context.Context, c *cluster.Cluster) {
				c.CreateService("web", 12)
				c.Eventually("twelve tasks", func() bool { return len(c.Serving("web")) == 12 })
				before, starts := ids(c.Serving("web")), started(c)
				for _, n := range c.Nodes {
					time.Sleep(20 * time.Second)
					stop(c, n)
					time.Sleep(1500 * time.Millisecond)
					c.Restart(n)
				}
				time.Sleep(time.Minute)
				if diff := cmp.Diff(before, ids(c.Serving("web"))); diff != "" {
					t.Errorf("tasks after the restarts (-want +got):\n%s", diff)
				}
				if got := started(c); got != starts {
					t.Errorf("%d containers were started", got-starts)
				}
			})
		})
	}
}

// TestAnnouncedStopIsWaitedFor: a daemon that said good-bye may be away for
// longer than a lease.
func TestAnnouncedStopIsWaitedFor(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		six(c)
		before := ids(c.Serving("web"))
		w1 := c.Nodes["w1"]
		c.StopGracefully(w1)
		time.Sleep(20 * time.Second)
		c.TransferLeadership(ctx) // the next leader keeps the promise
		time.Sleep(5 * time.Second)
		c.Restart(w1)
		time.Sleep(time.Minute)
		if diff := cmp.Diff(before, ids(c.Serving("web"))); diff != "" {
			t.Errorf("tasks after an announced stop of 25 s (-want +got):\n%s", diff)
		}
		c.StopGracefully(w1)
		c.Within(31*time.Second, "the tasks to be replaced", func() bool {
			return len(c.Serving("web")) == 6 && len(running(c, "web", w1)) == 0
		})
	})
}

// TestAnnouncedStopOfTheLeader: nothing moves for 30 s, whoever led, also where
// several say good-bye at once.
func TestAnnouncedStopOfTheLeader(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 1, Mixed: true}, func(_ context.Context, c *cluster.Cluster) {
		c.CreateService("web", 8)
		c.Eventually("eight tasks", func() bool { return len(c.Serving("web")) == 8 })
		before, starts := ids(c.Serving("web")), started(c)
		for range 3 {
			var stopped sync.WaitGroup
			away := []*cluster.Node{c.Leader(), c.Nodes["w1"]}
			for _, n := range away {
				stopped.Go(func() { c.StopGracefully(n) })
			}
			stopped.Wait()
			time.Sleep(20 * time.Second)
			for _, n := range away {
				c.Restart(n)
			}
			time.Sleep(20 * time.Second)
		}
		if diff := cmp.Diff(before, ids(c.Serving("web"))); diff != "" {
			t.Errorf("tasks after announced stops of leaders (-want +got):\n%s", diff)
		}
		if got := started(c); got != starts {
			t.Errorf("%d containers were started", got-starts)
		}
	})
}

// TestPlannedRestartKeepsTasksBoundToAnAddress: a node that is away for a moment
// still has the address that it had.
func TestPlannedRestartKeepsTasksBoundToAnAddress(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 2}, func(_ context.Context, c *cluster.Cluster) {
		w1 := c.Nodes["w1"]
		host, _, _ := strings.Cut(w1.ControlAddr(), ":")
		c.CreateService("web", 2, func(s *clusterpb.ServiceSpec) {
			s.Task.Placement = &clusterpb.Placement{Constraints: []string{"node.ip==" + host}}
		})
		c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
		before := ids(c.Serving("web"))
		c.StopGracefully(w1)
		time.Sleep(10 * time.Second)
		c.Restart(w1)
		time.Sleep(time.Minute)
		if diff := cmp.Diff(before, ids(c.Serving("web"))); diff != "" {
			t.Errorf("tasks after a planned restart (-want +got):\n%s", diff)
		}
	})
}

// TestTaskEndsWhileItsDaemonIsDown: how it ended is known afterwards, and it
// is replaced by the restart policy.
func TestTaskEndsWhileItsDaemonIsDown(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 1}, func(_ context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		c.Eventually("a task", func() bool { return len(c.Serving("web")) == 1 })
		w1, first := c.Nodes["w1"], c.Serving("web")[0].GetId()
		c.Crash(w1)
		w1.Runtime.End(first, exit(3))
		time.Sleep(time.Second)
		c.Restart(w1)
		c.Eventually("a replacement", func() bool {
			s := c.Serving("web")
			return len(s) == 1 && s[0].GetId() != first
		})
		old, ok := c.State().Task(first)
		if !ok || old.GetStatus().GetState() != lifecycle.Failed || pod.MainStatus(old.GetStatus()).GetExitCode() != 3 {
			t.Errorf("the first task is %v", cluster.Line(old))
		}
	})
}

// TestCrashLoopBacksOff: each restart waits longer, whoever leads.
func TestCrashLoopBacksOff(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 2}, func(_ context.Context, c *cluster.Cluster) {
		c.Script("v1", executortest.Behaviour{ExitAfter: 100 * time.Millisecond, Exit: exit(1)})
		c.CreateService("web", 1)
		for range 6 {
			time.Sleep(100 * time.Second)
			leader := c.Leader()
			c.Crash(leader)
			time.Sleep(2 * time.Second)
			c.Restart(leader)
		}
		var at []time.Time
		for _, n := range c.Nodes {
			for _, call := range n.Runtime.Calls() {
				if call.Method == "Start" {
					at = append(at, call.At)
				}
			}
		}
		slices.SortFunc(at, time.Time.Compare)
		// 5 s, 10 s, 20 s, … 5 min: seven starts in the first ten minutes.
		if len(at) < 6 || len(at) > 8 {
			t.Fatalf("%d starts in ten minutes: %v", len(at), at)
		}
		for i := 2; i < len(at); i++ {
			before, now := at[i-1].Sub(at[i-2]), at[i].Sub(at[i-1])
			if now < before*3/2 {
				t.Errorf("start %d came %v after the one before, which came after %v", i, now, before)
			}
		}
	})
}

// TestRemovedServiceLeavesNothing, whatever its tasks were at.
func TestRemovedServiceLeavesNothing(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 2}, func(ctx context.Context, c *cluster.Cluster) {
		c.Script("v1", executortest.Behaviour{PrepareDelay: time.Second, StartDelay: time.Second, StopDelay: 2 * time.Second})
		for _, after := range []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 5 * time.Second} {
			c.CreateService("web", 5, func(s *clusterpb.ServiceSpec) {
				s.Ports = []*clusterpb.Port{{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80, Published: 8111, Mode: clusterpb.Port_MODE_INGRESS}}
			})
			time.Sleep(after)
			remove(ctx, t, c, "web")
			c.Within(30*time.Second, "every task to be gone", func() bool {
				for range c.State().Tasks() {
					return false
				}
				return true
			})
			for _, n := range c.Nodes {
				if left, _ := n.Runtime.List(ctx); len(left) != 0 {
					t.Errorf("%s still has %v", n.Name, left)
				}
			}
		}
	})
}

// TestGossipPortTaken: the node works all the same, and says so until it gossips.
func TestGossipPortTaken(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 1}, func(_ context.Context, c *cluster.Cluster) {
		w1 := c.Nodes["w1"]
		c.Crash(w1)
		w1.GossipPortTaken.Store(true)
		c.Restart(w1)
		message := func() string {
			n, _ := c.State().Node(w1.ID)
			return n.GetStatus().GetMessage()
		}
		c.Eventually("the node to say so", func() bool { return strings.Contains(message(), "gossip: listen for gossip: address already in use") })
		c.CreateService("web", 2)
		c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
		w1.GossipPortTaken.Store(false)
		c.Within(2*time.Minute, "the node to say nothing", func() bool { return message() == "" })
	})
}
