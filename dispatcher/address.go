package dispatcher

import (
	"fmt"
	"iter"
	"net/netip"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// mayBeAt refuses a node that is where it cannot be. Every other node would send
// to it what is for its tasks.
func (t *term) mayBeAt(nodeID string, d *clusterpb.NodeDescription) error {
	err := soundAddr(t.cfg.Store.State().Nodes(), nodeID, d.GetDataAddr())
	if err != nil {
		t.log.Warn("refused what a node says of its address", "node", nodeID, "err", err)
	}
	return err
}

// soundAddr refuses an address that cannot be a node's data-path address, or that
// a node which is connected has. A node may say that it has none yet.
func soundAddr(nodes iter.Seq[*clusterpb.Node], nodeID, addr string) error {
	if addr == "" {
		return nil
	}
	a, err := netip.ParseAddr(addr)
	a = a.Unmap()
	switch {
	case err != nil || a.Zone() != "":
		return fmt.Errorf("data-path address %q of node %s: use an IP address: %w", addr, nodeID, errdefs.ErrFailedPrecondition)
	case a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("data-path address %s of node %s: others cannot send to it; use one that they reach: %w", addr, nodeID, errdefs.ErrFailedPrecondition)
	}
	for n := range nodes {
		other, err := netip.ParseAddr(n.GetDescription().GetDataAddr())
		if err == nil && other.Unmap() == a && n.GetId() != nodeID && lifecycle.Connected(n) {
			return fmt.Errorf("data-path address %s of node %s: node %s (%s) has it and is connected; give one of them another: %w",
				addr, nodeID, n.GetId(), n.GetDescription().GetHostname(), errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}
