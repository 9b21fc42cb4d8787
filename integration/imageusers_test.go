package integration_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/integration/cluster"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// TestImageUsers: which services need an image is asked when it is removed, so
// that it is known of images that no node has reported, and as soon as a daemon
// is up. Where no manager answers it is not guessed.
func TestImageUsers(t *testing.T) {
	const old, now = "docker.io/library/old:1", "docker.io/library/now:1"
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 1, Idle: 1}, func(ctx context.Context, c *cluster.Cluster) {
		w1 := c.Nodes["w1"]
		for i := range 7 {
			c.CreateService(fmt.Sprint("web", i), 1, func(s *clusterpb.ServiceSpec) { s.Task.Containers[0].Image = "old:1" })
		}
		c.UpdateService("web3", func(s *clusterpb.ServiceSpec) { s.Task.Containers[0].Image = "now:1" })
		content := func(i int) string {
			svc := c.Service(fmt.Sprint("web", i))
			_, digest, _ := strings.Cut(svc.GetImages()[0].GetPinned(), "@")
			return digest
		}
		ask := func(n *cluster.Node, digest string, names ...string) (*dispatchpb.FindImageUsersResponse, error) {
			return n.ImageUsers(ctx, &dispatchpb.FindImageUsersRequest{Names: names, Digest: digest})
		}
		// The history of web3 names the old one as well.
		for _, n := range append(c.Managers(), w1) {
			if r, err := ask(n, content(0), old); err != nil || !slices.Equal(r.GetServices(), []string{"web0", "web1", "web2", "web3", "web4"}) || r.GetMore() != 2 {
				t.Errorf("%s is told %v, %v", n.Name, r, err)
			}
		}
		if r, err := ask(w1, content(3), now); err != nil || !slices.Equal(r.GetServices(), []string{"web3"}) {
			t.Errorf("w1 is told %v, %v", r, err)
		}
		c.Crash(w1)
		c.Restart(w1)
		if r, err := ask(w1, content(3), now); err != nil || len(r.GetServices()) != 1 {
			t.Errorf("just started, w1 is told %v, %v", r, err)
		}
		for what, r := range map[string]*dispatchpb.FindImageUsersRequest{
			"name": {Names: []string{""}}, "long name": {Names: []string{strings.Repeat("x", 513)}},
			"names": {Names: slices.Repeat([]string{"x"}, 1001)}, "digest": {Digest: "sha256:x"},
		} {
			if _, err := w1.ImageUsers(ctx, r); !errdefs.IsInvalidArgument(err) {
				t.Errorf("a bad %s: %v", what, err)
			}
		}
		c.Isolate(w1)
		if r, err := ask(w1, content(3), now); !errdefs.IsUnavailable(err) {
			t.Errorf("cut off, w1 is told %v, %v", r, err)
		}
		c.Heal(w1)
		if r, err := ask(c.Nodes["i1"], content(3), now); err != nil || len(r.GetServices()) != 0 {
			t.Errorf("in no cluster: %v, %v", r, err)
		}
	})
}
