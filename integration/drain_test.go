package integration_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/integration/cluster"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
	"github.com/muster/muster/proto/pod"
)

// published publishes a service on a port.
func published(port uint32) func(*clusterpb.ServiceSpec) {
	return func(s *clusterpb.ServiceSpec) {
		s.Ports = []*clusterpb.Port{{
			Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80, Published: port, Mode: clusterpb.Port_MODE_INGRESS,
		}}
	}
}

// signals watches stop signals: whom the meshes of live nodes still led to.
type signals struct {
	c  *cluster.Cluster
	mu sync.Mutex
	// early are signals to tasks that a node still sent connections to.
	early []string
	count int
	last  time.Time
}

func watchSignals(c *cluster.Cluster) *signals {
	s := &signals{c: c}
	c.OnSignal(s.signalled)
	return s
}

// seen returns how many signals there were and when the last one came.
func (s *signals) seen() (count int, last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.last
}

func (s *signals) signalled(_ *cluster.Node, t *clusterpb.Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.last = time.Now()
	if t.GetDesired() < lifecycle.Shutdown {
		return // nobody asked it to stop: it turned unhealthy
	}
	for _, a := range network.Answering(t.GetAttachments()) {
		for _, n := range s.c.Nodes {
			if s.c.Up(n) && n.Kernel.LeadsTo(netip.MustParseAddr(a)) {
				s.early = append(s.early, fmt.Sprintf("%s was signalled while the mesh of %s led to it", cluster.Line(t), n.Name))
			}
		}
	}
}

// TestStopSignalComesAfterTheMesh: whatever ends a task, no node sends it
// connections any more when it gets the signal, although kernels are slow.
func TestStopSignalComesAfterTheMesh(t *testing.T) {
	reasons := map[string]func(ctx context.Context, t *testing.T, c *cluster.Cluster){
		"scaled down": func(ctx context.Context, t *testing.T, c *cluster.Cluster) {
			t.Helper()
			scale(ctx, t, c, "web", 1)
		},
		"updated": func(_ context.Context, _ *testing.T, c *cluster.Cluster) {
			c.UpdateService("web", func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "v2" })
		},
		"updated start-first": func(_ context.Context, _ *testing.T, c *cluster.Cluster) {
			c.UpdateService("web", func(s *clusterpb.ServiceSpec) {
				pod.Main(s.Task).Image = "v2"
				s.Update = &clusterpb.UpdateConfig{Order: clusterpb.UpdateConfig_ORDER_START_FIRST}
			})
		},
		"node drained": func(ctx context.Context, t *testing.T, c *cluster.Cluster) {
			t.Helper()
			availability(ctx, t, c, "w1", clusterpb.NodeSpec_AVAILABILITY_DRAIN)
		},
		"service removed": func(ctx context.Context, t *testing.T, c *cluster.Cluster) {
			t.Helper()
			remove(ctx, t, c, "web")
		},
		"updated while leaders die": func(_ context.Context, _ *testing.T, c *cluster.Cluster) {
			c.UpdateService("web", func(s *clusterpb.ServiceSpec) { pod.Main(s.Task).Image = "v2" })
			for range 3 {
				time.Sleep(3 * time.Second)
				leader := c.Leader()
				c.Crash(leader)
				time.Sleep(3 * time.Second)
				c.Restart(leader)
			}
		},
	}
	for name, do := range reasons {
		t.Run(name, func(t *testing.T) {
			cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(ctx context.Context, c *cluster.Cluster) {
				c.CreateService("web", 6, published(8111))
				c.Eventually("six tasks", func() bool { return len(c.Serving("web")) == 6 })
				time.Sleep(10 * time.Second)
				delay := 20 * time.Millisecond
				for _, n := range c.Nodes {
					n.Kernel.SetDelay(delay)
					delay = delay * 5 / 2 // up to 2 s
				}
				signals := watchSignals(c)
				do(ctx, t, c)
				time.Sleep(5 * time.Minute)
				signals.mu.Lock()
				defer signals.mu.Unlock()
				if signals.count == 0 {
					t.Error("no task was stopped")
				}
				for _, e := range signals.early {
					t.Error(e)
				}
			})
		})
	}
}

// TestHungNodeIsNotWaitedForLong: five seconds, as worker/DESIGN.md says.
func TestHungNodeIsNotWaitedForLong(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 3, published(8111))
		c.Eventually("three tasks", func() bool { return len(c.Serving("web")) == 3 })
		time.Sleep(10 * time.Second)
		signals := watchSignals(c)
		c.Nodes["w3"].Kernel.Hang(true)
		start := time.Now()
		scale(ctx, t, c, "web", 2)
		time.Sleep(time.Minute)
		count, last := signals.seen()
		if took := last.Sub(start); count != 1 || took < 4900*time.Millisecond || took > 5200*time.Millisecond {
			t.Errorf("%d signals, the last after %v; want one after 5 s", count, took)
		}
		// It must not hold up whoever comes later either, once it is well.
		c.Nodes["w3"].Kernel.Hang(false)
		time.Sleep(time.Second)
		start = time.Now()
		scale(ctx, t, c, "web", 1)
		time.Sleep(time.Minute)
		count, last = signals.seen()
		if took := last.Sub(start); count != 2 || took > 200*time.Millisecond {
			t.Errorf("%d signals, the last after %v; want a second one at once", count, took)
		}
	})
}

// TestDeadNodeHoldsNobodyUp for longer than its lease.
func TestDeadNodeHoldsNobodyUp(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 2, published(8111))
		c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
		time.Sleep(10 * time.Second)
		var idle *cluster.Node
		for _, n := range c.Nodes {
			if n.Name[0] == 'w' && len(running(c, "web", n)) == 0 {
				idle = n
			}
		}
		signals := watchSignals(c)
		c.PowerOff(idle)
		start := time.Now()
		scale(ctx, t, c, "web", 1)
		time.Sleep(time.Minute)
		count, last := signals.seen()
		if took := last.Sub(start); count != 1 || took > lossTime {
			t.Errorf("%d signals, the last after %v; want one within %v", count, took, lossTime)
		}
	})
}

// TestConnectionsDrain: those that are established may end, for a while.
func TestConnectionsDrain(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 2}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 2, published(8111))
		c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
		for _, n := range c.Nodes {
			for _, s := range c.Serving("web") {
				n.Kernel.SetConnections(netip.MustParseAddr(network.Answering(s.GetAttachments())[0]), 1)
			}
		}
		signals := watchSignals(c)
		start := time.Now()
		scale(ctx, t, c, "web", 1)
		time.Sleep(9 * time.Second)
		if count, last := signals.seen(); count != 0 {
			t.Errorf("signalled after %v with a connection open", last.Sub(start))
		}
		time.Sleep(time.Minute)
		count, last := signals.seen()
		if took := last.Sub(start); count != 1 || took > 10500*time.Millisecond {
			t.Errorf("%d signals, the last after %v; want one after the drain timeout of 10 s", count, took)
		}
	})
}

// availability sets what a node may be used for.
func availability(ctx context.Context, t *testing.T, c *cluster.Cluster, node string, a clusterpb.NodeSpec_Availability) {
	t.Helper()
	_, err := controlpb.NewNodeServiceClient(c.Control()).UpdateNode(ctx, &controlpb.UpdateNodeRequest{Node: node, Spec: &clusterpb.NodeSpec{Availability: a}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnhealthyTaskLeavesTheMesh of all nodes before it is stopped, its own
// node's first, and is replaced.
func TestUnhealthyTaskLeavesTheMesh(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(_ context.Context, c *cluster.Cluster) {
		b := slow()
		b.Health = &clusterpb.HealthCheck{Test: []string{"CMD", "true"}, Interval: seconds(1), Retries: 1}
		b.UnhealthyAfter = 20500 * time.Millisecond
		b.StopDelay = 5 * time.Second
		c.Script("v1", b)
		c.CreateService("web", 1, published(8111))
		c.Eventually("a task", func() bool { return len(c.Serving("web")) == 1 })
		first := c.Serving("web")[0]
		addr, home := netip.MustParseAddr(network.Answering(first.GetAttachments())[0]), c.Node(first.GetNodeId())
		c.Within(time.Second, "its own node to lead to it", func() bool { return home.Kernel.LeadsTo(addr) })
		c.Within(30*time.Second, "its own node to drop it", func() bool { return !home.Kernel.LeadsTo(addr) })
		if len(home.Runtime.Running()) != 1 {
			t.Error("it was stopped before it left the mesh")
		}
		c.Within(time.Second, "every node to drop it", func() bool {
			for _, n := range c.Nodes {
				if n.Kernel.LeadsTo(addr) {
					return false
				}
			}
			return true
		})
		c.Within(30*time.Second, "a replacement", func() bool {
			s := c.Serving("web")
			return len(s) == 1 && s[0].GetId() != first.GetId()
		})
	})
}
