package cluster

import (
	"context"
	"net/netip"
	"os"
	"time"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/raftstore"
)

// Isolate cuts a node off from all others. Nobody is told.
func (c *Cluster) Isolate(n *Node) { c.network.isolate(n.Name, true) }

// Heal connects the nodes again, all of them when none is given.
func (c *Cluster) Heal(nodes ...*Node) {
	if len(nodes) == 0 {
		for _, n := range c.Nodes {
			c.network.isolate(n.Name, false)
		}
	}
	for _, n := range nodes {
		c.network.isolate(n.Name, false)
	}
}

// Crash kills the daemon of a node: nothing is written or said any more.
// Containers and kernel go on. Nothing happens when it is down.
func (c *Cluster) Crash(n *Node) {
	c.t.Helper()
	l := n.take()
	if l == nil {
		return
	}
	l.host.kill()
	disk, err := survives(n.disk)
	c.must(err)
	n.disk = disk
	l.stop()
}

// CrashAtEntry kills the daemon of a manager in the moment in which it has
// written an entry to its log, committed or not, that is further on than the
// present ones by so many; or after a while, when there is no such entry.
func (c *Cluster) CrashAtEntry(n *Node, further uint64, limit time.Duration) {
	c.t.Helper()
	first, _ := n.disk.Log.LastIndex() // never fails
	for start := time.Now(); time.Since(start) < limit; time.Sleep(latency / 4) {
		if last, _ := n.disk.Log.LastIndex(); last >= first+further {
			break
		}
	}
	c.Crash(n)
}

// PowerOff ends a whole machine: containers too, and its connections without
// a word. [Cluster.Restart] turns it on again.
func (c *Cluster) PowerOff(n *Node) {
	c.t.Helper()
	c.Isolate(n)
	c.Crash(n)
	n.Runtime.Reboot()
}

// Wipe takes everything that a machine remembers away, as a new disk does. Its
// daemon is down. It has the address that it had.
func (n *Node) Wipe() {
	n.cluster.t.Helper()
	<-n.ended
	n.cluster.must(os.RemoveAll(n.dir))
	n.cluster.must(os.MkdirAll(n.dir, 0o700))
	n.disk, n.ID, n.role = raftstore.NewMemory(), "", clusterpb.NodeRole_NODE_ROLE_UNSPECIFIED
}

// Destroy loses a machine for good.
func (c *Cluster) Destroy(n *Node) {
	c.t.Helper()
	c.PowerOff(n)
	<-n.ended
	delete(c.Nodes, n.Name)
}

// Readdress restarts the daemon on a machine that has got another address.
func (n *Node) Readdress(addr netip.Addr) {
	n.cluster.t.Helper()
	n.cluster.StopGracefully(n)
	n.addr = addr
	n.cluster.Restart(n)
}

// ShutDown switches a machine off as "systemctl poweroff" does. The error says
// which tasks were still there after limit.
func (n *Node) ShutDown(limit time.Duration) error {
	c := n.cluster
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	err := n.current().node.Evacuate(ctx)
	c.StopGracefully(n)
	c.PowerOff(n)
	n.Runtime.Reboot()
	return err
}

// StopGracefully stops the daemon of a node, as systemd does.
func (c *Cluster) StopGracefully(n *Node) {
	c.t.Helper()
	if l := n.take(); l != nil {
		l.stop()
		<-n.ended
	}
}

// Restart starts the daemon of a node that is down, and connects it.
func (c *Cluster) Restart(n *Node) {
	c.t.Helper()
	c.Heal(n)
	if !c.Up(n) {
		c.must(n.start())
	}
}

// Up reports whether the node's daemon runs.
func (c *Cluster) Up(n *Node) bool { return n.current() != nil }

// TransferLeadership makes another manager lead, as for a planned stop.
func (c *Cluster) TransferLeadership(ctx context.Context) {
	c.t.Helper()
	if s := c.Leader().store(); s != nil {
		if err := s.TransferLeadership(ctx); err != nil {
			c.t.Logf("transfer leadership: %v", err)
		}
	}
}
