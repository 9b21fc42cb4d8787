package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/worker/executor/executortest"
)

const clusterID = "cluster"

// Config says what a cluster is made of.
type Config struct {
	// Managers m1, m2, … run a worker too, as every manager does, but are
	// drained unless Mixed is set.
	Managers int
	// Workers w1, w2, … only work.
	Workers int
	Mixed   bool
	// Seed of what the harness itself leaves to chance: which manager a client
	// asks.
	Seed uint64
}

// Cluster is a running cluster.
type Cluster struct {
	// Nodes by id: m1… and w1….
	Nodes   map[string]*Node
	t       *testing.T
	cfg     Config
	log     *slog.Logger
	network *network

	mu       sync.Mutex
	rand     *rand.Rand
	onSignal func(on *Node, t *clusterpb.Task)
}

// Run calls f with a cluster whose managers have a leader and whose nodes are
// ready. Everything started is stopped before Run returns, and what must
// always hold is checked in every state the cluster ever was in.
func Run(t *testing.T, cfg Config, f func(ctx context.Context, c *Cluster)) {
	t.Helper()
	dir := stateDir(t)
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, cfg, dir)
		defer c.end()
		c.found()
		f(t.Context(), c)
	})
}

// stateDir is where the workers' databases are: in memory where that is
// possible, since thousands of them are synced to disk.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "muster-cluster-") //nolint:usetesting // t.TempDir is on disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newCluster(t *testing.T, cfg Config, dir string) *Cluster {
	t.Helper()
	c := &Cluster{
		Nodes: make(map[string]*Node), t: t, cfg: cfg, log: logger(t), network: newNetwork(),
		rand: rand.New(rand.NewPCG(cfg.Seed, 1)),
	}
	for i := range cfg.Managers {
		n := c.node(fmt.Sprintf("m%d", i+1), clusterpb.NodeRole_NODE_ROLE_MANAGER, dir)
		n.disk = raftstore.NewMemory()
	}
	for i := range cfg.Workers {
		c.node(fmt.Sprintf("w%d", i+1), clusterpb.NodeRole_NODE_ROLE_WORKER, dir)
	}
	return c
}

// logger writes to the test's log when MUSTER_TEST_LOG names a level.
func logger(t *testing.T) *slog.Logger {
	t.Helper()
	var level slog.Level
	if level.UnmarshalText([]byte(os.Getenv("MUSTER_TEST_LOG"))) != nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
}

func (c *Cluster) node(id string, role clusterpb.NodeRole, dir string) *Node {
	n := &Node{
		ID: id, Runtime: executortest.New(), Kernel: newKernel(),
		cluster: c, index: len(c.Nodes) + 1, role: role, dir: filepath.Join(dir, id),
	}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	c.Nodes[id] = n
	return n
}

// found makes a cluster of m1, and lets the others join.
func (c *Cluster) found() {
	c.t.Helper()
	first := c.Nodes["m1"]
	c.must(first.start())
	ctx := c.t.Context()
	store := first.life.store
	c.must(store.Bootstrap(ctx))
	c.must(store.AwaitLeadership(ctx))
	c.must(store.Propose(ctx, append([]*raftpb.Change{
		state.CreateCluster(&raftpb.CreateCluster{
			Id: clusterID, Spec: &clusterpb.ClusterSpec{}, IngressSubnets: []string{"10.0.0.0/16"}, DataPathPort: 4789,
			WorkerSecret: "w", ManagerSecret: "m", GossipKeys: [][]byte{make([]byte, 32)},
		}),
	}, c.nodes()...)...))
	for i := range c.cfg.Managers {
		n := c.Nodes[fmt.Sprintf("m%d", i+1)]
		if n != first {
			c.must(n.start())
			c.must(store.AddVoter(ctx, n.ID, addrOf(n.ID)))
		}
		c.must(store.Propose(ctx, state.ObserveNode(&raftpb.ObserveNode{Id: n.ID, RaftAddr: addrOf(n.ID)})))
	}
	for i := range c.cfg.Workers {
		c.must(c.Nodes[fmt.Sprintf("w%d", i+1)].start())
	}
	c.Eventually("every node to be ready", func() bool {
		for n := range store.State().Nodes() {
			if n.GetStatus().GetState() != clusterpb.NodeStatus_STATE_READY {
				return false
			}
		}
		return true
	})
}

// nodes are the entries that the certificate service makes of nodes that join.
func (c *Cluster) nodes() (changes []*raftpb.Change) {
	for _, n := range c.Nodes {
		spec := &clusterpb.NodeSpec{}
		if n.manages() && !c.cfg.Mixed {
			spec.Availability = clusterpb.NodeSpec_AVAILABILITY_DRAIN
		}
		changes = append(changes, state.PutNode(&raftpb.PutNode{Id: n.ID, Role: n.role, Spec: spec}))
	}
	return changes
}

// end stops every node and looks at what was.
func (c *Cluster) end() {
	c.t.Helper()
	for _, n := range c.Nodes {
		if n.manages() && !c.Up(n) {
			c.Restart(n)
		}
	}
	c.Heal()
	c.Leader()
	history := c.witness()
	var all sync.WaitGroup
	for _, n := range c.Nodes {
		all.Go(func() { c.StopGracefully(n) })
	}
	all.Wait()
	for _, n := range c.Nodes {
		if n.ended != nil {
			<-n.ended
		}
	}
	// What has no owner any more, such as the timers of containers, ends too.
	time.Sleep(time.Hour)
	c.check(history)
}

func (c *Cluster) managerAddrs() (addrs []string) {
	for i := range c.cfg.Managers {
		addrs = append(addrs, addrOf(fmt.Sprintf("m%d", i+1)))
	}
	return addrs
}

// OnSignal has f called before each stop signal to a task.
func (c *Cluster) OnSignal(f func(on *Node, t *clusterpb.Task)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onSignal = f
}

func (c *Cluster) signalled(on *Node, t *clusterpb.Task) {
	c.mu.Lock()
	f := c.onSignal
	c.mu.Unlock()
	if f != nil {
		f(on, t)
	}
}

func (c *Cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}
