package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/muster/muster/cli/daemon/node"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/raftstore"
	"github.com/muster/muster/worker/executor/executortest"
)

// gossipPort is what nodes call their membership port. Nobody listens there.
const gossipPort = 7946

// Node is a machine: what outlives its daemon.
type Node struct {
	// Name of the machine, such as m1; nodes are called by it.
	Name string
	// ID is what the cluster knows it by; empty while it is in none.
	ID string
	// Runtime runs its containers, Kernel holds its mesh.
	Runtime *executortest.Fake
	Kernel  *Kernel
	// GossipPortTaken: another process has the gossip port.
	GossipPortTaken atomic.Bool

	cluster    *Cluster
	addr       netip.Addr
	role       clusterpb.NodeRole // unspecified while in no cluster
	dir        string
	disk       *raftstore.Memory
	life       *life         // nil while the daemon is down
	ended      chan struct{} // closed when the last life is over
	gossipKeys [][]byte      // guarded by Cluster.mu
}

// life is one run of a node's daemon.
type life struct {
	of   *Node
	host *host
	node *node.Node
	stop context.CancelFunc
	// asked: somebody wants it to end; guarded by Cluster.mu.
	asked bool
}

func (n *Node) manages() bool { return n.role == clusterpb.NodeRole_NODE_ROLE_MANAGER }

// ControlAddr is where others reach the node's control port.
func (n *Node) ControlAddr() string { return netip.AddrPortFrom(n.addr, controlPort).String() }

// GossipKeys are the keys that the node's gossip uses now.
func (n *Node) GossipKeys() [][]byte {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.gossipKeys
}

// current is the life of the node's daemon; nil while it is down.
func (n *Node) current() *life {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.life
}

// take makes the node's daemon count as down.
func (n *Node) take() *life {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	l := n.life
	if l != nil {
		n.life, l.asked = nil, true
	}
	return l
}

// store is the node's member of the replicated store; nil while there is none.
func (n *Node) store() *raftstore.Store {
	if l := n.current(); l != nil {
		return l.node.Store()
	}
	return nil
}

// start runs the daemon of the node, and waits until it has resumed what it
// was.
func (n *Node) start() error {
	if n.ended != nil {
		<-n.ended // a process must be gone before the next one locks its files
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &life{of: n, host: n.cluster.network.host(n.Name, n.addr), stop: stop}
	socket, err := l.host.ListenLocal()
	if err != nil {
		stop()
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	l.node = node.New(l.config())
	ended := make(chan struct{})
	n.cluster.mu.Lock()
	n.life, n.ended = l, ended
	n.cluster.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.node.Run(ctx) })
	g.Go(func() error { return l.node.ServeLocal(ctx, socket, &answers{Local: node.Local{Node: l.node}}) })
	go func() {
		defer close(ended)
		err := g.Wait()
		n.cluster.mu.Lock()
		asked := l.asked
		n.cluster.mu.Unlock()
		if err != nil || !asked {
			n.cluster.t.Errorf("the daemon of %s ended: %v", n.Name, err)
		}
	}()
	select {
	case <-l.node.Resumed():
		return nil
	case <-ended:
		return fmt.Errorf("start %s: its daemon ended", n.Name)
	}
}

// answers are what a daemon answers to users of its machine by itself. There
// are no images to tell of.
type answers struct {
	controlpb.UnimplementedImageServiceServer
	node.Local
}

// config stands the daemon on the machine.
func (l *life) config() node.Config {
	n := l.of
	return node.Config{
		Name: n.Name, Version: "test", StateDir: n.dir, Memory: n.disk,
		// The whole log is what history is read from.
		Raft:       raftstore.Config{SnapshotThreshold: 1 << 30, TrailingLogs: 1 << 30},
		Network:    l.host,
		GossipPort: gossipPort,
		Gossip:     n.gossip,
		Machine:    l.machine,
		Content:    content{},
		Images:     n.cluster.Registry,
		Log:        n.cluster.log.With("on", n.Name),
	}
}
