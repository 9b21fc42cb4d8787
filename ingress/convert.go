package ingress

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// applyOverlay adds addresses, neighbours and forwarding entries.
func (k *kernel) applyOverlay(link int, have, want *state) error {
	dev := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: link, Name: Overlay}}
	return errors.Join(
		each(want.addrs.minus(have.addrs), func(a netip.Prefix) error {
			if err := k.nl.AddrReplace(dev, address(ipNet(a).IP, a.Bits())); err != nil {
				return fmt.Errorf("add address %s to %s: %w", a, Overlay, err)
			}
			return nil
		}),
		each(want.neighs.minus(have.neighs), func(n neigh) error {
			if err := k.nl.NeighSet(n.netlink(link)); err != nil {
				return fmt.Errorf("add neighbour %s: %w", n, err)
			}
			return nil
		}),
		each(want.frames.minus(have.frames), func(f frame) error {
			if err := k.nl.NeighSet(f.netlink(link)); err != nil {
				return fmt.Errorf("add forwarding entry %s: %w", f, err)
			}
			return nil
		}),
	)
}

func (n neigh) netlink(link int) *netlink.Neigh {
	family := unix.AF_INET
	if n.ip.Is6() {
		family = unix.AF_INET6
	}
	return &netlink.Neigh{
		LinkIndex: link, Family: family, State: unix.NUD_PERMANENT,
		IP: n.ip.AsSlice(), HardwareAddr: n.mac.addr(),
	}
}

func (f frame) netlink(link int) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: link, Family: unix.AF_BRIDGE, State: unix.NUD_NOARP | unix.NUD_PERMANENT, Flags: unix.NTF_SELF,
		IP: f.to.AsSlice(), HardwareAddr: f.mac.addr(),
	}
}

func (r route) netlink(link int) *netlink.Route {
	n := &netlink.Route{Dst: ipNet(r.dst), Table: int(r.table), Protocol: routeProtocol, Family: unix.AF_INET}
	if r.dst.Addr().Is6() {
		n.Family = unix.AF_INET6
	}
	if !r.via.IsValid() {
		n.Type, n.Priority = unix.RTN_UNREACHABLE, int(unreachable)
		return n
	}
	n.LinkIndex, n.Gw = link, r.via.AsSlice()
	n.SetFlag(netlink.FLAG_ONLINK)
	return n
}

func (p policy) netlink() *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Protocol = unix.AF_INET, p.priority, routeProtocol
	if p.v6 {
		r.Family = unix.AF_INET6
	}
	if p.mask != 0 {
		r.Mark, r.Mask, r.Invert = p.mark, &p.mask, p.not
	}
	switch {
	case p.table != 0:
		r.Table = int(p.table)
	case p.goTo != 0:
		r.Goto = p.goTo
	default:
		r.Type = unix.FR_ACT_NOP
	}
	return r
}
