package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/worker/executor/executortest"
)

const controlPort = spec.DefaultControlPort

// Config says what a cluster is made of.
type Config struct {
	// Managers m1, m2, … run a worker too, as every manager does, but are
	// drained unless Mixed is set.
	Managers int
	// Workers w1, w2, … only work.
	Workers int
	Mixed   bool
	// Idle i1, i2, … are in no cluster; see [Node.Join].
	Idle int
	// Spec of the cluster; may be nil.
	Spec *clusterpb.ClusterSpec
	// Seed of what the harness itself leaves to chance: which manager a client
	// asks.
	Seed uint64
}

// Cluster is a running cluster.
type Cluster struct {
	// Nodes by name: m1…, w1… and i1….
	Nodes map[string]*Node
	// Tokens are what others join by.
	Tokens  Tokens
	t       *testing.T
	cfg     Config
	log     *slog.Logger
	network *network
	// Registry is the one that every image comes from.
	Registry *Registry

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
		c.begin()
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
		Nodes: make(map[string]*Node), t: t, cfg: cfg, log: logger(t), network: newNetwork(), Registry: newRegistry(),
		rand: rand.New(rand.NewPCG(cfg.Seed, 1)),
	}
	for i := range cfg.Managers {
		c.machine(nameOf(manager, i), dir)
	}
	for i := range cfg.Workers {
		c.machine(nameOf(worker, i), dir)
	}
	for i := range cfg.Idle {
		c.machine(nameOf(idle, i), dir)
	}
	return c
}

// Machines are named by what they begin as.
const manager, worker, idle = "m", "w", "i"

func nameOf(prefix string, i int) string { return fmt.Sprint(prefix, i+1) }

// logger writes to the test's log when MUSTER_TEST_LOG names a level.
func logger(t *testing.T) *slog.Logger {
	t.Helper()
	var level slog.Level
	if level.UnmarshalText([]byte(os.Getenv("MUSTER_TEST_LOG"))) != nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
}

// machine adds a machine whose daemon does not run.
func (c *Cluster) machine(name, dir string) {
	n := &Node{
		Name: name, Runtime: executortest.New(), Kernel: newKernel(), cluster: c,
		addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(len(c.Nodes) + 1)}), dir: filepath.Join(dir, name), disk: raftstore.NewMemory(),
	}
	c.must(os.MkdirAll(n.dir, 0o700))
	c.Nodes[name] = n
}

// begin starts all daemons, founds the cluster on m1 and lets the others join.
func (c *Cluster) begin() {
	c.t.Helper()
	for _, n := range c.Nodes {
		c.must(n.start())
	}
	available := clusterpb.NodeSpec_AVAILABILITY_DRAIN
	if c.cfg.Mixed {
		available = clusterpb.NodeSpec_AVAILABILITY_ACTIVE
	}
	ctx := c.t.Context()
	c.must(c.Nodes["m1"].Found(ctx, &nodepb.InitClusterRequest{Availability: available, Spec: c.cfg.Spec}))
	for i := range c.cfg.Managers - 1 {
		c.must(c.Nodes[nameOf(manager, i+1)].Join(ctx, &nodepb.JoinClusterRequest{Token: c.Tokens.Manager, Availability: available}))
	}
	for i := range c.cfg.Workers {
		c.must(c.Nodes[nameOf(worker, i)].Join(ctx, &nodepb.JoinClusterRequest{Token: c.Tokens.Worker}))
	}
	c.Eventually("every node to be ready", func() bool {
		for n := range c.State().Nodes() {
			if n.GetStatus().GetState() != clusterpb.NodeStatus_STATE_READY {
				return false
			}
		}
		return true
	})
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
