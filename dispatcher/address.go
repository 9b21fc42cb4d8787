package dispatcher

import (
	"fmt"
	"iter"
	"net/netip"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// maxDescription is how long in bytes a node may describe itself: it is written
// down whenever it changes.
const maxDescription = 128 << 10

// maySay refuses what a node says of itself when that is too long, or when it is
// where it cannot be: every other node would send to it what is for its tasks.
func (t *term) maySay(nodeID string, d *clusterpb.NodeDescription) error {
	err := boundedDescription(d)
	if err == nil {
		err = soundAddr(t.cfg.Store.State().Nodes(), nodeID, d.GetDataAddr())
	}
	if err != nil {
		t.log.Warn("refused what a node says of itself", "node", nodeID, "err", err)
	}
	return err
}

func boundedDescription(d *clusterpb.NodeDescription) error {
	if n := proto.Size(d); n > maxDescription {
		return fmt.Errorf("the node's description of itself takes %d KiB: at most %d, use fewer or shorter labels: %w",
			n>>10, maxDescription>>10, errdefs.ErrInvalidArgument)
	}
	return nil
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
