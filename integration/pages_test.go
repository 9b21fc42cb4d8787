package integration_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/integration/cluster"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// TestPagesAcrossManagers: a list that one manager began goes on at another, and
// a token that is none is refused on the wire.
func TestPagesAcrossManagers(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		for i := range 5 {
			c.CreateService(fmt.Sprint("web", i), 1)
		}
		seen, token := make(map[string]bool), ""
		for page := 0; page == 0 || token != ""; page++ {
			at := c.Managers()[page%3]
			r, err := services(c.On(at)).ListServices(ctx, &controlpb.ListServicesRequest{PageSize: 2, PageToken: token})
			if err != nil || len(r.GetServices()) > 2 {
				t.Fatalf("page %d at %s: %v, %v", page, at.Name, r, err)
			}
			for _, s := range r.GetServices() {
				seen[s.GetService().GetSpec().GetName()] = true
			}
			token = r.GetNextPageToken()
		}
		all, err := command.Services(ctx, services(c.Control()))
		if len(seen) != 5 || len(all) != 5 || err != nil {
			t.Errorf("%d services by pages, %d in all, %v", len(seen), len(all), err)
		}
		for _, m := range c.Managers() {
			_, err := services(c.On(m)).ListServices(ctx, &controlpb.ListServicesRequest{PageToken: "nonsense"})
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s takes any token: %v", m.Name, err)
			}
		}
	})
}
