package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/integration/cluster"
	controlpb "github.com/muster/muster/proto/control/v1"
)

func TestServiceSurvivesLosingTheLeader(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 3)
		c.Eventually("three tasks", func() bool { return len(c.Serving("web")) == 3 })
		before := ids(c.Serving("web"))

		old := c.Leader()
		c.Isolate(old)
		_, err := services(c.On(old)).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "web", Replicas: 1})
		if !errdefs.IsUnavailable(err) {
			t.Errorf("write to the isolated manager: %v, want unavailable", err)
		}
		leader := c.Leader()
		if leader == old {
			t.Fatalf("%s still leads", old.Name)
		}
		scale(ctx, t, c, "web", 5)
		c.Eventually("five tasks", func() bool { return len(c.Serving("web")) == 5 })
		if svc, _ := c.StateOn(old).ServiceByName("web"); svc.GetSpec().GetReplicated().GetReplicas() != 3 {
			t.Errorf("the isolated manager knows of %d replicas", svc.GetSpec().GetReplicated().GetReplicas())
		}

		c.Heal()
		c.Eventually("the old leader to catch up", func() bool { return c.StateOn(old).Index >= c.StateOn(leader).Index })
		svc, _ := c.StateOn(old).ServiceByName("web")
		if got := svc.GetSpec().GetReplicated().GetReplicas(); got != 5 {
			t.Errorf("the old leader knows of %d replicas, want 5", got)
		}
		for _, id := range before {
			if !contains(ids(c.Serving("web")), id) {
				t.Errorf("task %s does not run any more", id)
			}
		}
	})
}

// TestEveryManagerTakesCommands: those that do not lead hand them on.
func TestEveryManagerTakesCommands(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 1}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		for i, n := range append(c.Others(c.Leader()), c.Leader()) {
			want := uint32(i + 2)
			if _, err := services(c.On(n)).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "web", Replicas: want}); err != nil {
				t.Errorf("scale on %s: %v", n.Name, err)
			}
			if got := c.Service("web").GetSpec().GetReplicated().GetReplicas(); got != want {
				t.Errorf("%d replicas after a write through %s, want %d", got, n.Name, want)
			}
		}
	})
}

// TestMajorityLost: nothing can be changed, and everything runs on.
func TestMajorityLost(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 2}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 4)
		c.Eventually("four tasks", func() bool { return len(c.Serving("web")) == 4 })
		starts := started(c)
		leader := c.Leader()
		others := c.Others(leader)
		for _, n := range others {
			c.Crash(n)
		}
		// What was refused as unavailable may still be applied later, so it is the
		// same as what is asked for below.
		_, err := services(c.On(leader)).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "web", Replicas: 5})
		if !errdefs.IsUnavailable(err) {
			t.Errorf("write without a majority: %v, want unavailable", err)
		}
		time.Sleep(10 * time.Minute)
		for _, n := range others {
			c.Restart(n)
		}
		scale(ctx, t, c, "web", 5)
		c.Eventually("five tasks", func() bool { return len(c.Serving("web")) == 5 })
		time.Sleep(time.Minute)
		if got := started(c); got != starts+1 {
			t.Errorf("%d containers were started, want one more than %d", got, starts)
		}
	})
}

// TestCallHandedOnToALeaderThatFallsSilent: the manager that handed it on cuts
// it off as soon as there is another leader; whoever asked asks again.
func TestCallHandedOnToALeaderThatFallsSilent(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		leader := c.Leader()
		other := c.Others(leader)[0]
		// The connection is there, as after any call.
		if _, err := services(c.On(other)).ListServices(ctx, &controlpb.ListServicesRequest{}); err != nil {
			t.Fatal(err)
		}
		c.Isolate(leader) // its power is gone: nobody says that it is
		began := time.Now()
		for {
			_, err := services(c.On(other)).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "web", Replicas: 2})
			if err == nil {
				break
			}
			if !errdefs.IsUnavailable(err) {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("the write took %s", took)
		}
	})
}
