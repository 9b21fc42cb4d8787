package integration_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/integration/cluster"
	capb "github.com/muster/muster/proto/ca/v1"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// TestCertificatesAreRenewed for a day with the shortest expiry.
func TestCertificatesAreRenewed(t *testing.T) {
	spec := &clusterpb.ClusterSpec{CertExpiry: durationpb.New(time.Hour)}
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 1, Spec: spec}, func(_ context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		c.Eventually("a task", func() bool { return len(c.Serving("web")) == 1 })
		before, keys := ids(c.Serving("web")), c.Nodes["w1"].GossipKeys()
		for range 26 {
			time.Sleep(time.Hour)
			for _, n := range c.Nodes {
				own, err := n.Credentials()
				if err != nil {
					t.Fatal(err)
				}
				if err := own.Check(time.Now()); err != nil {
					t.Fatal(err)
				}
				if known, _ := c.State().Node(n.ID); known.GetStatus().GetState() != ready {
					t.Fatalf("%s is %s", n.Name, known.GetStatus().GetState())
				}
			}
		}
		if !contains(ids(c.Serving("web")), before...) {
			t.Error("the task was restarted")
		}
		if string(c.Nodes["w1"].GossipKeys()[0]) == string(keys[0]) {
			t.Error("gossip has had the same key for a day")
		}
	})
}

// TestCertificatesAreRenewedByAnyManager: each node asks another one when the
// first that it knows is gone.
func TestCertificatesAreRenewedByAnyManager(t *testing.T) {
	spec := &clusterpb.ClusterSpec{CertExpiry: durationpb.New(time.Hour)}
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 1, Spec: spec}, func(_ context.Context, c *cluster.Cluster) {
		began := time.Now()
		gone := c.Nodes["m1"]
		c.PowerOff(gone)
		time.Sleep(55 * time.Minute)
		for _, n := range c.Nodes {
			own, err := n.Credentials()
			if err != nil {
				t.Fatal(err)
			}
			if renewed := own.NotAfter().After(began.Add(time.Hour)); renewed != (n != gone) {
				t.Errorf("%s has renewed its certificate: %t", n.Name, renewed)
			}
		}
	})
}

// TestStrangersAreGivenLittle: who has no certificate can have no large message
// kept for it.
func TestStrangersAreGivenLittle(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Idle: 1}, func(ctx context.Context, c *cluster.Cluster) {
		conn, err := c.Nodes["i1"].Connect(c.Others(c.Leader())[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for size, enough := range map[int]bool{8 << 10: true, 64 << 10: false, 3 << 20: false} {
			_, err := capb.NewCAServiceClient(conn).IssueNodeCertificate(ctx, &capb.IssueNodeCertificateRequest{CsrPem: make([]byte, size)})
			if err == nil || errdefs.IsResourceExhausted(err) == enough {
				t.Errorf("a request of %d bytes: %v", size, err)
			}
		}
	})
}

// TestClusterSwitchedOffForMonths: no certificate is valid any more. Managers
// certify themselves by the root that each holds; workers are told to rejoin,
// and can.
func TestClusterSwitchedOffForMonths(t *testing.T) {
	for _, managers := range []int{1, 3} {
		cluster.Run(t, cluster.Config{Managers: managers, Workers: 1}, func(ctx context.Context, c *cluster.Cluster) {
			c.CreateService("web", 1)
			for _, n := range c.Nodes {
				c.PowerOff(n)
			}
			time.Sleep(200 * 24 * time.Hour)
			for _, n := range c.Nodes {
				c.Restart(n)
			}
			began := time.Now()
			c.Eventually("a write", func() bool {
				_, err := services(c.Control()).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "web", Replicas: 2})
				return err == nil
			})
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("of %d managers, the first write after %s", managers, took)
			}
			w1 := c.Nodes["w1"]
			status, err := w1.Local().GetStatus(ctx, &nodepb.GetStatusRequest{})
			if err != nil || !strings.Contains(status.GetErr(), "expired") {
				t.Errorf("the worker says %v, %v", status, err)
			}
			if err := w1.Leave(ctx, true); err != nil {
				t.Fatal(err)
			}
			if err := w1.Join(ctx, &nodepb.JoinClusterRequest{Token: c.Tokens.Worker}); err != nil {
				t.Fatal(err)
			}
			c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
		})
	}
}
