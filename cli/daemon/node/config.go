package node

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/muster/muster/ingress"
	"github.com/muster/muster/ingress/gossip"
	"github.com/muster/muster/manager/api/service"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/worker"
	"github.com/muster/muster/worker/describe"
	"github.com/muster/muster/worker/executor"
	"github.com/muster/muster/worker/trouble"
)

// Config is what a node stands on. Fields are required unless they say
// otherwise.
type Config struct {
	// Name, Version and Labels are what the node says of itself.
	Name, Version string
	Labels        map[string]string
	// StateDir keeps what must survive a reboot.
	StateDir string
	// Memory is where raft keeps its log instead of StateDir; nil except in
	// tests.
	Memory *raftstore.Memory
	// Raft tunes the replicated store: its snapshots and time-outs. What it says
	// of identity, place and transport is overwritten. May be left zero.
	Raft raftstore.Config

	// Network is how the node reaches others and is reached.
	Network Network
	// GossipPort is the membership port, tcp and udp.
	GossipPort uint16
	// Gossip joins the membership gossip.
	Gossip func(gossip.Config) (Gossip, error)
	// Machine takes the machine into service, once for each membership. Its
	// plane must call applied with the index of each [ingress.Want] that the
	// kernel holds.
	Machine func(applied func(index uint64)) (*Machine, error)
	// Content answers other nodes that ask for content.
	Content nodepb.PeerServiceServer
	// Images finds out what image references stand for; used by managers.
	Images service.Images

	Log *slog.Logger
}

// Network is how a node reaches others and is reached: TCP.
type Network interface {
	// Host tells which addresses and networks this node has.
	Host() (Host, error)
	// Listen opens a port, HOST:PORT; without a host on all addresses.
	Listen(addr string) (net.Listener, error)
	// Dial connects to a port of this node or of another, HOST:PORT.
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// Gossip is a node's part in the membership gossip; [gossip.Gossip] is one.
type Gossip interface {
	// Run takes part until ctx is done.
	Run(ctx context.Context) error
	// SetKeys replaces the keys that traffic is encrypted with.
	SetKeys(keys [][]byte) error
	// View is what is believed of each node, by node id.
	View() map[string]gossip.Member
	// Changed tells its one reader that the view changed.
	Changed() <-chan struct{}
}

// Plane is a node's data plane; [ingress.Plane] is one.
type Plane interface {
	worker.Plane
	// Run makes the kernel hold what was last set until ctx is done.
	Run(ctx context.Context) error
	// Diff lists what the kernel holds and should not, and the reverse.
	Diff(ctx context.Context) ([]string, error)
	// Probe asks along the ways that requests take and lists what is wrong.
	Probe(ctx context.Context) []string
	// Index is that of the last [ingress.Want] which the kernel held all of, 0
	// before.
	Index() uint64
	// Repairs is how many things had drifted and were put right.
	Repairs() uint64
	// Remove takes everything of ours out of the kernel. Run has ended then.
	Remove(ctx context.Context) error
}

var (
	_ Plane  = (*ingress.Plane)(nil)
	_ Gossip = (*gossip.Gossip)(nil)
)

// Machine is what a member runs on: the kernel and the containers of a node.
type Machine struct {
	// Plane is the data plane, Executor runs tasks that are attached to it.
	Plane    Plane
	Executor executor.Executor
	// Images is the image store; nil when the node offers none to others.
	Images worker.Images
	// Logs are the logs of the node's tasks; nil when it keeps none.
	Logs worker.Logs
	// Troubles finds out what keeps the machine from its work.
	Troubles *trouble.Watch
	// Describe tells what the machine is, beside what is given.
	Describe func(ctx context.Context, given describe.Given) (*clusterpb.NodeDescription, error)
	// Run runs what belongs to the machine only while the node is a member,
	// until ctx is done.
	Run func(ctx context.Context) error
	// Release frees what only containers need, once none is left because the
	// node has left its cluster.
	Release func(ctx context.Context) error
}

func (c *Config) identityDir() string { return filepath.Join(c.StateDir, "identity") }
func (c *Config) raftDir() string     { return filepath.Join(c.StateDir, "raft") }
func (c *Config) workerDir() string   { return filepath.Join(c.StateDir, "worker") }

// raft is how this node's member of the replicated store is set up, but for
// its way to the others.
func (c *Config) raft(nodeID string) raftstore.Config {
	r := c.Raft
	r.ID, r.Dir, r.Memory, r.Log = nodeID, c.raftDir(), c.Memory, c.Log.With("part", "raft")
	if c.Memory != nil {
		r.Dir = ""
	}
	return r
}
