package allocator

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/muster/muster/manager/allocator/ipam"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

// addresses are those of one network.
type addresses struct {
	name string
	pool *ipam.Pool
	err  error // why there is no pool

	newest *clusterpb.Task // of those with an address here
	last   netip.Addr      // its first address here
}

func newAddresses(n *clusterpb.Network) *addresses {
	in := &addresses{name: n.GetSpec().GetName()}
	in.pool, in.err = ipam.ParsePool(n.GetSubnets())
	return in
}

// count notes what a task has here. It has its addresses until it has ended;
// the pool walks on behind those given last, whether still in use or not.
func (in *addresses) count(t *clusterpb.Task, addrs []string) {
	if in.err != nil {
		return
	}
	ended := lifecycle.Ended(t.GetStatus().GetState())
	for i, text := range addrs {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		if !ended {
			in.pool.Use(addr)
		}
		if i == 0 && in.isLater(t, addr) {
			in.newest, in.last = t, addr
			in.pool.Walk(addr)
		}
	}
}

// isLater orders tasks by creation, those created together by address.
func (in *addresses) isLater(t *clusterpb.Task, addr netip.Addr) bool {
	if in.newest == nil {
		return true
	}
	x, y := t.GetCreatedAt(), in.newest.GetCreatedAt()
	return cmp.Or(cmp.Compare(x.GetSeconds(), y.GetSeconds()), cmp.Compare(x.GetNanos(), y.GetNanos()), addr.Compare(in.last)) > 0
}

// check says why there is no address to give.
func (in *addresses) check() error {
	switch {
	case in.err != nil:
		return fmt.Errorf("network %s: %w", in.name, in.err)
	case in.pool.IsExhausted():
		return fmt.Errorf("no address left in network %s (%s)", in.name, in.pool)
	}
	return nil
}

// next takes addresses, one of each family; check must have found some.
func (in *addresses) next() []netip.Addr {
	addrs, _ := in.pool.Next()
	return addrs
}
