package integration_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/integration/cluster"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

var elsewhere = netip.MustParseAddr("192.0.2.77")

// moves has a node that got another address say so.
func moves(ctx context.Context, t *testing.T, n *cluster.Node, r *nodepb.MoveNodeRequest) {
	t.Helper()
	n.Readdress(elsewhere)
	resp, err := n.Local().MoveNode(ctx, r)
	if err != nil || resp.GetAddr() != n.ControlAddr() {
		t.Fatalf("%s moves to %s: %v", n.Name, resp.GetAddr(), err)
	}
}

// known waits until the cluster has the node, ready, at its address, and no
// manager counts on the old one.
func known(c *cluster.Cluster, n *cluster.Node) {
	c.Eventually(n.Name+" to be ready at "+n.ControlAddr(), func() bool {
		s, _ := c.State().Node(n.ID)
		if s.GetStatus().GetState() != clusterpb.NodeStatus_STATE_READY || s.GetDescription().GetControlAddr() != n.ControlAddr() {
			return false
		}
		return s.GetRole() == clusterpb.NodeRole_NODE_ROLE_WORKER || s.GetRaftAddr() == n.ControlAddr()
	})
}

// TestNodeMoves: a machine that got another address goes on as the node that it
// was, with its tasks, its vote and its lead.
func TestNodeMoves(t *testing.T) {
	for name, which := range map[string]func(*cluster.Cluster) *cluster.Node{
		"a worker":     func(c *cluster.Cluster) *cluster.Node { return c.Nodes["w1"] },
		"the leader":   func(c *cluster.Cluster) *cluster.Node { return c.Leader() },
		"who follows":  follower,
		"one, in vain": func(c *cluster.Cluster) *cluster.Node { return c.Nodes["w2"] },
	} {
		t.Run(name, func(t *testing.T) {
			cluster.Run(t, cluster.Config{Managers: 3, Workers: 2}, func(ctx context.Context, c *cluster.Cluster) {
				c.CreateService("web", 2)
				c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
				before, n := ids(c.Serving("web")), which(c)
				if name == "one, in vain" {
					_, err := n.Local().MoveNode(ctx, &nodepb.MoveNodeRequest{AdvertiseAddr: "192.0.2.78"})
					if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "192.0.2.78 is on no interface") {
						t.Errorf("to an address that it has not: %v", err)
					}
				} else {
					moves(ctx, t, n, &nodepb.MoveNodeRequest{})
				}
				known(c, n)
				scale(ctx, t, c, "web", 3)
				c.Eventually("three tasks", func() bool { return len(c.Serving("web")) == 3 })
				if !contains(ids(c.Serving("web")), before...) {
					t.Error("tasks were restarted")
				}
				c.Crash(n)
				c.Restart(n)
				known(c, n)
				c.Eventually("three managers to vote", func() bool { return voters(ctx, t, c) == 3 })
			})
		})
	}
}

func follower(c *cluster.Cluster) *cluster.Node {
	for _, name := range []string{"m1", "m2", "m3"} {
		if n := c.Nodes[name]; n != c.Leader() {
			return n
		}
	}
	return nil
}

// TestOnlyManagerMoves: its workers know no manager any more and have to be told.
func TestOnlyManagerMoves(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 1}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		c.Eventually("a task", func() bool { return len(c.Serving("web")) == 1 })
		m1, w1 := c.Nodes["m1"], c.Nodes["w1"]
		moves(ctx, t, m1, &nodepb.MoveNodeRequest{})
		known(c, m1)
		if _, err := w1.Local().MoveNode(ctx, &nodepb.MoveNodeRequest{RemoteAddr: m1.ControlAddr()}); err != nil {
			t.Fatal(err)
		}
		known(c, w1)
		c.Crash(w1)
		c.Restart(w1)
		known(c, w1)
		scale(ctx, t, c, "web", 2)
		c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
	})
}

// TestMoveOfWhoIsInNoCluster tells that there is nothing to move.
func TestMoveOfWhoIsInNoCluster(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Idle: 1}, func(ctx context.Context, c *cluster.Cluster) {
		if _, err := c.Nodes["i1"].Local().MoveNode(ctx, &nodepb.MoveNodeRequest{}); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("of a node in no cluster: %v", err)
		}
	})
}
