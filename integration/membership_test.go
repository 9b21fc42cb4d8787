package integration_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/integration/cluster"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/jointoken"
	nodepb "github.com/muster/muster/proto/node/v1"
)

const (
	drain = clusterpb.NodeSpec_AVAILABILITY_DRAIN
	ready = clusterpb.NodeStatus_STATE_READY
)

// byWorker and byManager ask to join by the cluster's tokens.
func byWorker(c *cluster.Cluster) *nodepb.JoinClusterRequest {
	return &nodepb.JoinClusterRequest{Token: c.Tokens.Worker}
}

func byManager(c *cluster.Cluster) *nodepb.JoinClusterRequest {
	return &nodepb.JoinClusterRequest{Token: c.Tokens.Manager, Availability: drain}
}

// voters are how many managers vote, as one of them knows.
func voters(ctx context.Context, t *testing.T, c *cluster.Cluster) (n int) {
	t.Helper()
	list, err := controlpb.NewNodeServiceClient(c.Control()).ListNodes(ctx, &controlpb.ListNodesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list.GetNodes() {
		if v.GetManager() == controlpb.NodeView_REACHABILITY_REACHABLE {
			n++
		}
	}
	return n
}

func TestJoinAsWorker(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Idle: 1}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		time.Sleep(time.Minute)
		if got := len(c.Serving("web")); got != 0 {
			t.Fatalf("%d tasks run, though no node may run any", got)
		}
		n := c.Nodes["i1"]
		if err := n.Join(ctx, byWorker(c)); err != nil {
			t.Fatal(err)
		}
		if known, _ := c.State().Node(n.ID); known.GetRole() != clusterpb.NodeRole_NODE_ROLE_WORKER || known.GetStatus().GetState() != ready {
			t.Errorf("it joined as %v", known)
		}
		c.Eventually("a task on it", func() bool { return len(running(c, "web", n)) == 1 })
		if err := n.Join(ctx, byWorker(c)); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("it joins again: %v", err)
		}
		// It is a member also after a restart.
		before := ids(c.Serving("web"))
		c.Crash(n)
		c.Restart(n)
		time.Sleep(time.Minute)
		if !contains(ids(c.Serving("web")), before...) {
			t.Error("its task was replaced when its daemon came back")
		}
	})
}

// TestJoinAsManager: who joins as a manager votes, and may lead.
func TestJoinAsManager(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 1, Idle: 2}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		for _, name := range []string{"i1", "i2"} {
			if err := c.Nodes[name].Join(ctx, byManager(c)); err != nil {
				t.Fatal(err)
			}
		}
		if got := voters(ctx, t, c); got != 3 {
			t.Fatalf("%d managers vote, want 3", got)
		}
		c.Isolate(c.Nodes["m1"])
		leader := c.Leader()
		if leader == c.Nodes["m1"] {
			t.Fatal("the isolated manager leads")
		}
		if _, err := services(c.On(leader)).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "web", Replicas: 2}); err != nil {
			t.Errorf("write without the first manager: %v", err)
		}
		c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
	})
}

// TestJoinRefused leaves neither side with anything.
func TestJoinRefused(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Idle: 2}, func(ctx context.Context, c *cluster.Cluster) {
		n, other := c.Nodes["i1"], c.Nodes["i2"]
		ours := c.Tokens
		if err := other.Found(ctx, &nodepb.InitClusterRequest{}); err != nil {
			t.Fatal(err)
		}
		theirs := c.Tokens
		root := c.StateOn(c.Nodes["m1"]).Cluster().GetRootCa()
		wrong, err := jointoken.Make(root, jointoken.NewSecret())
		if err != nil {
			t.Fatal(err)
		}
		nodes := len(nodesOf(c))
		tests := map[string]struct {
			request *nodepb.JoinClusterRequest
			is      func(error) bool
			says    string
		}{
			"wrong secret":      {&nodepb.JoinClusterRequest{Token: wrong}, errdefs.IsPermissionDenied, "token"},
			"other cluster":     {&nodepb.JoinClusterRequest{Token: theirs.Worker}, errdefs.IsPermissionDenied, "another cluster"},
			"no token":          {&nodepb.JoinClusterRequest{Token: "secret"}, errdefs.IsInvalidArgument, "token"},
			"nobody there":      {&nodepb.JoinClusterRequest{Token: ours.Worker, RemoteAddr: "192.0.2.99"}, errdefs.IsUnavailable, "cannot reach a manager"},
			"address of no-one": {&nodepb.JoinClusterRequest{Token: ours.Worker, AdvertiseAddr: "203.0.113.1"}, errdefs.IsInvalidArgument, "is on no interface"},
		}
		for name, tt := range tests {
			if err := n.Join(ctx, tt.request); !tt.is(err) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v, want an error with %q", name, err, tt.says)
			}
			status, err := n.Local().GetStatus(ctx, &nodepb.GetStatusRequest{})
			if err != nil || status.GetState() != nodepb.GetStatusResponse_STATE_INACTIVE {
				t.Errorf("%s: the node is %v, %v afterwards", name, status, err)
			}
		}
		if got := len(nodesOf(c)); got != nodes {
			t.Errorf("the cluster has %d nodes, want %d as before", got, nodes)
		}
		c.Destroy(other)
	})
}

// nodesOf lists the nodes that m1 knows.
func nodesOf(c *cluster.Cluster) (list []string) {
	for n := range c.StateOn(c.Nodes["m1"]).Nodes() {
		list = append(list, n.GetId())
	}
	return list
}

// methods calls f with the full name of every method that has a rule.
func methods(f func(name string, rule call.Rule)) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				name := "/" + string(service.FullName()) + "/" + string(service.Methods().Get(j).Name())
				if rule, ok := call.Lookup(name); ok {
					f(name, rule)
				}
			}
		}
		return true
	})
}

// invoke calls any method with an empty message.
func invoke(ctx context.Context, conn *grpc.ClientConn, method string) error {
	return ask(ctx, conn, method, &emptypb.Empty{})
}

// TestEveryMethodKeepsItsCallers asks everything that the control port of a
// manager that leads, of one that does not, and of a worker answers.
func TestEveryMethodKeepsItsCallers(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 2}, func(ctx context.Context, c *cluster.Cluster) {
		w1 := c.Nodes["w1"]
		own, err := w1.Credentials()
		if err != nil {
			t.Fatal(err)
		}
		callers := map[call.Callers]*mtls.Credentials{call.Worker: own, call.Anonymous: nil}
		w2 := c.Nodes["w2"]
		for _, to := range []*cluster.Node{c.Leader(), c.Others(c.Leader())[0], w2} {
			for kind, as := range callers {
				conn, err := w1.Connect(to, as)
				if err != nil {
					t.Fatal(err)
				}
				asked := 0
				methods(func(name string, rule call.Rule) {
					if rule.Callers&kind != 0 {
						return
					}
					asked++
					err := invoke(ctx, conn, name)
					unserved := to == w2 && errdefs.IsNotImplemented(err)
					if !errdefs.IsPermissionDenied(err) && !unserved {
						t.Errorf("%s may call %s on %s: %v", kind, name, to.Name, err)
					}
				})
				if asked < 10 {
					t.Errorf("only %d methods are kept from %s", asked, kind)
				}
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// TestRemovedNodeIsRefused: its certificate is good for nothing any more, on a
// connection that was made before too.
func TestRemovedNodeIsRefused(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 2}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 2)
		c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
		w1 := c.Nodes["w1"]
		own, err := w1.Credentials()
		if err != nil {
			t.Fatal(err)
		}
		var open []*grpc.ClientConn
		for _, m := range c.Managers() {
			conn, err := w1.Connect(m, own)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, conn)
			if err := invoke(ctx, conn, "/ca.v1.CAService/GetRootCA"); err != nil {
				t.Fatalf("before its removal: %v", err)
			}
		}
		if _, err := controlpb.NewNodeServiceClient(c.Control()).RemoveNode(ctx, &controlpb.RemoveNodeRequest{Node: "w1", Force: true}); err != nil {
			t.Fatal(err)
		}
		c.Eventually("both tasks on the other node", func() bool { return len(running(c, "web", c.Nodes["w2"])) == 2 })
		for i, m := range c.Managers() {
			methods(func(name string, _ call.Rule) {
				if err := invoke(ctx, open[i], name); !errdefs.IsPermissionDenied(err) {
					t.Errorf("%s on %s: %v", name, m.Name, err)
				}
			})
			conn, err := w1.Connect(m, own)
			if err != nil {
				t.Fatal(err)
			}
			if err := invoke(ctx, conn, "/ca.v1.CAService/GetRootCA"); err == nil {
				t.Errorf("%s takes a new connection", m.Name)
			}
			if err := errors.Join(conn.Close(), open[i].Close()); err != nil {
				t.Error(err)
			}
		}
		// It can leave what it is no part of, and join again as another node.
		old := w1.ID
		if err := w1.Leave(ctx, true); err != nil {
			t.Errorf("leave: %v", err)
		}
		if left := w1.Runtime.Running(); len(left) != 0 {
			t.Errorf("%v run on a node that has left", left)
		}
		if err := w1.Join(ctx, byWorker(c)); err != nil || w1.ID == old {
			t.Errorf("joined again as %s, which was %s: %v", w1.ID, old, err)
		}
	})
}

// TestWorkerLeaves moves its tasks first.
func TestWorkerLeaves(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		six(c)
		w1 := c.Nodes["w1"]
		id, least := w1.ID, 6
		done := make(chan error, 1)
		go func() { done <- w1.Leave(ctx, false) }()
		c.Eventually("the node to be gone", func() bool {
			least = min(least, len(c.Serving("web")))
			_, known := c.State().Node(id)
			return !known
		})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if least < 6 {
			t.Errorf("only %d tasks served at a time while the node left", least)
		}
		if found := w1.Runtime.Running(); len(found) != 0 {
			t.Errorf("%v run on a node that has left", found)
		}
		if _, err := w1.Credentials(); !errdefs.IsNotFound(err) {
			t.Errorf("the node keeps its certificate: %v", err)
		}
		c.Crash(w1)
		c.Restart(w1)
		status, err := w1.Local().GetStatus(ctx, &nodepb.GetStatusRequest{})
		if err != nil || status.GetState() != nodepb.GetStatusResponse_STATE_INACTIVE {
			t.Errorf("after a restart it is %v, %v", status, err)
		}
		if err := w1.Join(ctx, byWorker(c)); err != nil {
			t.Errorf("join again: %v", err)
		}
	})
}

// TestManagersLeave: one after the other, the leader first, down to the last.
func TestManagersLeave(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 1}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		c.Eventually("a task", func() bool { return len(c.Serving("web")) == 1 })
		before := ids(c.Serving("web"))
		for left := 2; left > 0; left-- {
			n := c.Leader()
			if err := n.Leave(ctx, false); err != nil {
				t.Fatalf("%s: %v", n.Name, err)
			}
			if got := voters(ctx, t, c); got != left {
				t.Errorf("%d managers vote after %s left, want %d", got, n.Name, left)
			}
		}
		last := c.Leader()
		if err := last.Leave(ctx, false); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "last manager") {
			t.Errorf("the last manager leaves: %v", err)
		}
		scale(ctx, t, c, "web", 2)
		c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
		if !contains(ids(c.Serving("web")), before...) {
			t.Error("tasks were restarted")
		}
	})
}

// TestManagerThatHasToStay: with one of three managers gone no other may leave,
// and one that is refused keeps its tasks and the lead.
func TestManagerThatHasToStay(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 1}, func(ctx context.Context, c *cluster.Cluster) {
		leader := c.Leader()
		rest := c.Others(leader)
		rest = slices.DeleteFunc(rest, func(n *cluster.Node) bool { return !strings.HasPrefix(n.Name, "m") })
		c.PowerOff(rest[1])
		time.Sleep(10 * time.Second)
		for _, n := range []*cluster.Node{leader, rest[0]} {
			nodes := controlpb.NewNodeServiceClient(c.Control())
			if _, err := nodes.UpdateNode(ctx, &controlpb.UpdateNodeRequest{Node: n.ID, Spec: &clusterpb.NodeSpec{}}); err != nil {
				t.Fatal(err)
			}
			err := n.Leave(ctx, false)
			if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "no quorum") {
				t.Errorf("%s leaves: %v", n.Name, err)
			}
			known, _ := c.State().Node(n.ID)
			if got := known.GetSpec().GetAvailability(); got == drain {
				t.Errorf("%s was refused, and is %s", n.Name, got)
			}
			if c.Leader() != leader {
				t.Errorf("%s was refused, and %s lost the lead", n.Name, leader.Name)
			}
		}
	})
}

// TestForcedNewCluster: of three managers two are lost for good.
func TestForcedNewCluster(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3, Workers: 2}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 2)
		c.Eventually("two tasks", func() bool { return len(c.Serving("web")) == 2 })
		before := ids(c.Serving("web"))
		for _, name := range []string{"m2", "m3"} {
			c.Destroy(c.Nodes[name])
		}
		m1 := c.Nodes["m1"]
		if _, err := services(c.On(m1)).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: "web", Replicas: 2}); !errdefs.IsUnavailable(err) {
			t.Errorf("write without a majority: %v", err)
		}
		if err := m1.ForceNewCluster(ctx); err != nil {
			t.Fatal(err)
		}
		scale(ctx, t, c, "web", 3)
		c.Eventually("three tasks", func() bool { return len(c.Serving("web")) == 3 })
		if !contains(ids(c.Serving("web")), before...) {
			t.Error("tasks were restarted")
		}
	})
}

// TestWipedManager: a manager that lost its disk is not the one that voted at
// its address, is told so at once, and what to do.
func TestWipedManager(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 3}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		m2 := c.Nodes["m2"]
		if c.Leader() == m2 {
			c.TransferLeadership(ctx)
		}
		leader, old := c.Leader(), m2.ID
		c.PowerOff(m2)
		m2.Wipe()
		c.Restart(m2)
		join := byManager(c)
		join.RemoteAddr = leader.ControlAddr()
		began := time.Now()
		err := m2.Join(ctx, join)
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "muster node rm --force "+old) || time.Since(began) > 20*time.Second {
			t.Errorf("after %s the wiped manager is told: %v", time.Since(began), err)
		}
		if _, err := controlpb.NewNodeServiceClient(c.Control()).RemoveNode(ctx, &controlpb.RemoveNodeRequest{Node: old, Force: true}); err != nil {
			t.Fatal(err)
		}
		if err := m2.Join(ctx, join); err != nil {
			t.Errorf("once the old one is removed: %v", err)
		}
		if got := voters(ctx, t, c); got != 3 {
			t.Errorf("%d managers vote, want 3", got)
		}
	})
}
