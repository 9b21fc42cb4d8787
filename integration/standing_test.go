package integration_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/ingress"
	"github.com/muster/muster/integration/cluster"
	"github.com/muster/muster/manager/ca"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// issue makes a certificate by the cluster's own root.
func issue(t *testing.T, c *cluster.Cluster, nodeID string, role clusterpb.NodeRole) *mtls.Credentials {
	t.Helper()
	st := c.State()
	signer, err := ca.NewSigner(st.Cluster().GetId(), st.Cluster().GetRootCa(), st.Secrets().GetRootCaKey())
	if err != nil {
		t.Fatal(err)
	}
	made, err := signer.Issue(nodeID, role, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestCertificateOfNoNode: a certificate alone makes nobody a node. It takes the
// cluster's state, which says in which role, on every manager's port and for
// every method.
func TestCertificateOfNoNode(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 1}, func(ctx context.Context, c *cluster.Cluster) {
		w1 := c.Nodes["w1"]
		ghost := issue(t, c, "ghost", clusterpb.NodeRole_NODE_ROLE_MANAGER)
		former := issue(t, c, w1.ID, clusterpb.NodeRole_NODE_ROLE_MANAGER)
		own, err := c.Nodes["m2"].Credentials()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range c.Managers() {
			for who, as := range map[string]*mtls.Credentials{"a node that is none": ghost, "a worker that was a manager": former} {
				conn, err := w1.Connect(m, as)
				if err != nil {
					t.Fatal(err)
				}
				methods(func(name string, rule call.Rule) {
					if !rule.Leader || as == former && rule.Callers&call.Worker != 0 {
						return
					}
					if err := invoke(ctx, conn, name); !errdefs.IsPermissionDenied(err) {
						t.Errorf("%s by %s on %s: %v", name, who, m.Name, err)
					}
				})
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
				if w1.DialRaft(ctx, m, as) {
					t.Errorf("%s speaks raft with %s", who, m.Name)
				}
			}
			if !w1.DialRaft(ctx, m, own) {
				t.Errorf("m2 does not speak raft with %s", m.Name)
			}
		}
	})
}

// TestCallsUnderWayOfARemovedNode end, whichever manager they came in on.
func TestCallsUnderWayOfARemovedNode(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 4, Workers: 1}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		gone := c.Others(c.Leader())[0]
		own, err := gone.Credentials()
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		stays := c.Others(gone)[:3]
		for _, m := range stays {
			conn, err := gone.Connect(m, own)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			follow, err := services(conn).FollowService(ctx, &controlpb.FollowServiceRequest{Service: "web"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := follow.Recv(); err != nil {
				t.Fatal(err)
			}
			go func() {
				for {
					if _, err := follow.Recv(); err != nil {
						ended <- struct{}{}
						return
					}
				}
			}()
		}
		if _, err := controlpb.NewNodeServiceClient(c.Control()).RemoveNode(ctx, &controlpb.RemoveNodeRequest{Node: gone.ID, Force: true}); err != nil {
			t.Fatal(err)
		}
		late := time.After(5 * time.Second)
		for range stays {
			select {
			case <-ended:
			case <-late:
				t.Fatal("it still follows a service")
			}
		}
	})
}

// TestJoinFromTheNetworkOfTasks is refused: the machine would lose its
// neighbours. Nothing is left of it.
func TestJoinFromTheNetworkOfTasks(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Idle: 2}, func(ctx context.Context, c *cluster.Cluster) {
		in, beside := c.Nodes["i1"], c.Nodes["i2"]
		in.Near(ingress.Nearby{Prefix: netip.MustParsePrefix("10.128.4.0/22"), Device: "eth1", Own: true})
		beside.Near(ingress.Nearby{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Device: "tun0"})
		before := len(nodesOf(c))
		err := in.Join(ctx, byWorker(c))
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "10.128.4.0/22 (eth1) overlaps with the tasks' 10.128.0.0/16") {
			t.Errorf("joined: %v", err)
		}
		if got := len(nodesOf(c)); got != before {
			t.Errorf("the cluster has %d nodes, want %d as before", got, before)
		}
		if err := beside.Join(ctx, byWorker(c)); err != nil {
			t.Errorf("a wider route: %v", err)
		}
	})
}

// TestRequestIDOfAnotherCall: an id stands for what was asked for with it, and by
// whom. Another call is not answered with what that one was.
func TestRequestIDOfAnotherCall(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		own, err := c.Nodes["m2"].Credentials()
		if err != nil {
			t.Fatal(err)
		}
		m2, err := c.Nodes["m2"].Connect(c.Nodes["m1"], own)
		if err != nil {
			t.Fatal(err)
		}
		defer m2.Close()
		ctx = call.WithRequestID(ctx, "r1")
		create := &controlpb.CreateServiceRequest{Spec: cluster.Spec("web", 1)}
		first, err := services(c.On(c.Nodes["m1"])).CreateService(ctx, create)
		if err != nil {
			t.Fatal(err)
		}
		again, err := services(c.On(c.Nodes["m3"])).CreateService(ctx, create)
		if err != nil || again.GetService().GetId() != first.GetService().GetId() {
			t.Errorf("asked again of another manager: %v, %v", again, err)
		}
		_, scaled := services(c.Control()).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "web", Replicas: 3})
		_, removed := controlpb.NewNodeServiceClient(c.Control()).RemoveNode(ctx, &controlpb.RemoveNodeRequest{Node: "m3", Force: true})
		_, rotated := controlpb.NewClusterServiceClient(c.Control()).RotateJoinToken(ctx, &controlpb.RotateJoinTokenRequest{Role: clusterpb.NodeRole_NODE_ROLE_WORKER})
		_, byAnother := services(m2).CreateService(ctx, create)
		_, other := services(c.Control()).CreateService(ctx, &controlpb.CreateServiceRequest{Spec: cluster.Spec("db", 1)})
		for what, err := range map[string]error{"scale": scaled, "create of another": other, "node rm": removed, "join-token --rotate": rotated, "create by another": byAnother} {
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), `request id "r1" was used already`) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got := c.Service("web").GetSpec().GetReplicated().GetReplicas(); got != 1 || len(nodesOf(c)) != 3 {
			t.Errorf("%d replicas, %d nodes", got, len(nodesOf(c)))
		}
	})
}

// TestContentIsForNodes: a worker answers a removed node no more, whatever its
// certificate says, and knows it after a restart while no manager answers.
func TestContentIsForNodes(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		m1, w1, w2, w3 := c.Nodes["m1"], c.Nodes["w1"], c.Nodes["w2"], c.Nodes["w3"]
		fetch := func(by *cluster.Node, as *mtls.Credentials) error {
			conn, err := by.Connect(w1, as)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			return ask(ctx, conn, "/node.v1.PeerService/FetchBlob", &nodepb.FetchBlobRequest{Digest: "sha256:none"})
		}
		member, err := w3.Credentials()
		if err != nil {
			t.Fatal(err)
		}
		gone, err := w2.Credentials()
		if err != nil {
			t.Fatal(err)
		}
		if err := fetch(w2, gone); !errdefs.IsNotFound(err) {
			t.Errorf("a node of the cluster: %v", err)
		}
		if _, err := controlpb.NewNodeServiceClient(c.Control()).RemoveNode(ctx, &controlpb.RemoveNodeRequest{Node: w2.ID, Force: true}); err != nil {
			t.Fatal(err)
		}
		c.Eventually("the removed node to be refused", func() bool { return errdefs.IsPermissionDenied(fetch(w2, gone)) })
		c.Crash(m1)
		c.Crash(w1)
		c.Restart(w1)
		c.Eventually("w1 to answer", func() bool { return errdefs.IsNotFound(fetch(w3, member)) })
		if err := fetch(w2, gone); !errdefs.IsPermissionDenied(err) {
			t.Errorf("after a restart: %v", err)
		}
		c.Restart(m1)
	})
}
