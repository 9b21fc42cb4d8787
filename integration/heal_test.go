package integration_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/muster/muster/integration/cluster"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// TestHealedManagerDisturbsNobody: a manager that was cut off and comes back
// does not unseat the leader by elections that it held alone, and no write waits
// for it.
func TestHealedManagerDisturbsNobody(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 1}, func(ctx context.Context, c *cluster.Cluster) {
		leader := c.Leader()
		cut := c.Others(leader)[0]
		for _, away := range []time.Duration{3 * time.Second, time.Minute} {
			c.Isolate(cut)
			time.Sleep(away)
			c.Heal()
			for healed := time.Now(); time.Since(healed) < 10*time.Second; {
				began := time.Now()
				_, err := services(c.On(leader)).CreateService(ctx, &controlpb.CreateServiceRequest{Spec: cluster.Spec(fmt.Sprint("s", began.UnixNano()), 0)})
				if took := time.Since(began); err != nil || took > 200*time.Millisecond {
					t.Fatalf("%v after the heal a write takes %v: %v", began.Sub(healed), took, err)
				}
				if now := c.Leader(); now != leader {
					t.Fatalf("%v after the heal %s leads, want %s", time.Since(healed), now.Name, leader.Name)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	})
}
