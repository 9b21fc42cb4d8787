package ingress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/namespace"
)

// taskDevice is what a task's device is called in its network namespace.
const taskDevice = "eth0"

// overlayTimeout bounds how long an attach waits for the overlay to be there.
const overlayTimeout = 10 * time.Second

// carrierTimeout bounds how long both ends of a veth may take to come up. The
// kernel looks at some changes of carriers once a second only.
const carrierTimeout = 3 * time.Second

// Attach connects a task to the overlay: a veth whose other end is eth0 in
// the task's network namespace, its addresses, its default routes, and the
// routes to it. The executor calls it before the task's process starts. It is
// safe to call for many tasks at once, and again for the same task.
//
// It waits for the first Want to be applied, which makes the overlay, and
// returns ErrUnavailable if that takes longer than 10 s.
func (p *Plane) Attach(ctx context.Context, t Task) error {
	unlock, err := lockTask(ctx, p, t.ID)
	if err != nil {
		return err
	}
	defer unlock()
	select {
	case <-p.ready:
	case <-ctx.Done():
		return fmt.Errorf("attach task %s: wait for the overlay: %w", t.ID, ctx.Err())
	case <-time.After(overlayTimeout):
		return fmt.Errorf("attach task %s: there is no overlay on this node after %s: %w", t.ID, overlayTimeout, errdefs.ErrUnavailable)
	}
	mtu := int(p.mtu.Load())
	p.mu.Lock()
	p.attached[t.ID] = true
	delete(p.detached, t.ID)
	p.mu.Unlock()
	err = p.in(func(k *kernel) error { return k.attach(ctx, t, p.netns(t.ID), mtu) })
	if err != nil {
		return fmt.Errorf("attach task %s: %w", t.ID, err)
	}
	return nil
}

// Detach takes a task off the overlay. It does nothing if it is not on it.
func (p *Plane) Detach(ctx context.Context, taskID string) error {
	unlock, err := lockTask(ctx, p, taskID)
	if err != nil {
		return err
	}
	defer unlock()
	p.mu.Lock()
	delete(p.attached, taskID)
	p.detached[taskID] = true
	p.mu.Unlock()
	err = p.in(func(k *kernel) error { return k.deleteLink(taskLink(taskID)) })
	if err != nil {
		return fmt.Errorf("detach task %s: %w", taskID, err)
	}
	return nil
}

func (k *kernel) deleteLink(name string) error {
	link, err := k.nl.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at device %s: %w", name, err)
	}
	if err := k.nl.LinkDel(link); err != nil && !gone(err) {
		return fmt.Errorf("delete device %s: %w", name, err)
	}
	return nil
}

// attach makes both ends of a task's veth as they should be, from whatever is
// there: nothing, the whole, or what an interrupted attach left.
func (k *kernel) attach(ctx context.Context, t Task, netns string, mtu int) error {
	if len(t.addrs()) == 0 {
		return fmt.Errorf("the task has no address: %w", errdefs.ErrInvalidArgument)
	}
	ns, err := os.Open(netns)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close()
	k.ipv6 = k.ipv6 && mtu >= leastMTU6
	link, err := k.veth(t, ns, mtu)
	if err != nil {
		return err
	}
	if err := k.openHostEnd(link, t); err != nil {
		return err
	}
	inside := func() error {
		inner, err := openKernel()
		if err != nil {
			return err
		}
		defer inner.close()
		inner.ipv6 = k.ipv6
		return inner.setUpTask(t)
	}
	// A task may refuse one family by a sysctl of its own: it keeps the other.
	return errors.Join(namespace.In(netns, inside), k.leadToTask(link, t), k.waitUp(ctx, link))
}

// veth returns the index of the host's end of the task's veth, and makes the
// pair if it is not there or does not lead to ns.
func (k *kernel) veth(t Task, ns *os.File, mtu int) (int, error) {
	name := taskLink(t.ID)
	if link, err := k.nl.LinkByName(name); err == nil {
		if leadsTo(link, ns.Name()) {
			return link.Attrs().Index, nil
		}
		if err := k.deleteLink(name); err != nil {
			return 0, err
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = name, mtu, hostMAC().addr()
	err := k.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: taskDevice, PeerNamespace: netlink.NsFd(ns.Fd()),
		PeerHardwareAddr: taskMAC(t.addrs()[0].Unmap()).addr(), PeerMTU: uint32(mtu),
	})
	if err != nil {
		return 0, fmt.Errorf("add veth %s: %w", name, err)
	}
	link, err := k.nl.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("look at veth %s: %w", name, err)
	}
	// For people, and to tell our devices from others' of a similar name.
	if err := k.nl.LinkSetAlias(link, t.ID); err != nil {
		return 0, fmt.Errorf("name the task of veth %s: %w", name, err)
	}
	return link.Attrs().Index, nil
}

// leadsTo reports whether the other end of the veth is the task's device in
// the network namespace.
func leadsTo(link netlink.Link, netns string) bool {
	leads := false
	err := namespace.In(netns, func() error {
		inner, err := openKernel()
		if err != nil {
			return err
		}
		defer inner.close()
		dev, err := inner.nl.LinkByName(taskDevice)
		if err != nil {
			return err
		}
		leads = dev.Type() == "veth" && dev.Attrs().ParentIndex == link.Attrs().Index && dev.Attrs().Index == link.Attrs().ParentIndex
		return nil
	})
	return err == nil && leads
}

// setUpTask configures the task's end. The gateway's link address is fixed,
// so that nothing depends on ARP or neighbour discovery and their timers.
func (k *kernel) setUpTask(t Task) error {
	lo, err := k.nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("look at lo of the task: %w", err)
	}
	dev, err := k.nl.LinkByName(taskDevice)
	if err != nil {
		return fmt.Errorf("look at %s of the task: %w", taskDevice, err)
	}
	for _, l := range []netlink.Link{lo, dev} {
		if err := k.nl.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s of the task up: %w", l.Attrs().Name, err)
		}
	}
	return each(t.addrs(), func(a netip.Addr) error {
		a = a.Unmap()
		if a.Is6() && !k.ipv6 {
			return nil
		}
		if err := k.nl.AddrReplace(dev, address(a.AsSlice(), a.BitLen())); err != nil {
			return fmt.Errorf("add address %s to the task: %w", a, err)
		}
		gw := gateway4()
		if a.Is6() {
			gw = gateway6()
		}
		if err := k.nl.NeighSet(neigh{gw, hostMAC()}.netlink(dev.Attrs().Index)); err != nil {
			return fmt.Errorf("add the task's gateway %s: %w", gw, err)
		}
		r := route{dst: everything(a), via: gw, table: unix.RT_TABLE_MAIN}.netlink(dev.Attrs().Index)
		r.Protocol = unix.RTPROT_BOOT
		if err := k.nl.RouteReplace(r); err != nil {
			return fmt.Errorf("add the task's default route via %s: %w", gw, err)
		}
		return nil
	})
}

// openHostEnd sets up the host's end.
func (k *kernel) openHostEnd(index int, t Task) error {
	name := taskLink(t.ID)
	if err := k.taskSysctls(name); err != nil {
		return err
	}
	dev := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index, Name: name}}
	if err := k.nl.LinkSetUp(dev); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// waitUp waits until the host's end sends. It was set up before the task's
// end, so the kernel lets it send from a work item of its own, and drops what
// comes before. Since Linux 6.8 asking is enough to have that done.
func (k *kernel) waitUp(ctx context.Context, index int) error {
	ctx, cancel := context.WithTimeout(ctx, carrierTimeout)
	defer cancel()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		link, err := k.nl.LinkByIndex(index)
		if err != nil {
			return fmt.Errorf("look at the host's end of the veth: %w", err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the host's end %s of the veth to come up: %w", link.Attrs().Name, ctx.Err())
		}
	}
}

// leadToTask gives the host's end its addresses and leads to the task.
func (k *kernel) leadToTask(index int, t Task) error {
	name := taskLink(t.ID)
	dev := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index, Name: name}}
	return each(t.addrs(), func(a netip.Addr) error {
		a = a.Unmap()
		if a.Is6() && !k.ipv6 {
			return nil
		}
		gw, bits := gateway4(), 32
		if a.Is6() {
			gw, bits = gateway6(), 64
		}
		if err := k.nl.AddrReplace(dev, address(gw.AsSlice(), bits)); err != nil {
			return fmt.Errorf("add address %s to %s: %w", gw, name, err)
		}
		if err := k.nl.NeighSet(neigh{a, taskMAC(t.addrs()[0].Unmap())}.netlink(index)); err != nil {
			return fmt.Errorf("add neighbour %s: %w", a, err)
		}
		if err := k.nl.RouteReplace(taskRoute(a, index)); err != nil {
			return fmt.Errorf("add route to %s: %w", a, err)
		}
		return nil
	})
}

// taskRoute leads to a task of this node.
func taskRoute(a netip.Addr, link int) *netlink.Route {
	r := &netlink.Route{Dst: ipNet(host(a)), LinkIndex: link, Table: unix.RT_TABLE_MAIN, Protocol: routeProtocol, Family: unix.AF_INET6}
	if a.Is4() {
		r.Family, r.Scope = unix.AF_INET, netlink.SCOPE_LINK
	}
	return r
}

// taskSysctls sets up the host's end of a veth.
func (k *kernel) taskSysctls(name string) error {
	for _, s := range taskSettings(name, k.ipv6) {
		if err := writeSysctl(s.path, s.value); err != nil {
			return err
		}
	}
	return nil
}

// taskSettings are those of the host's end of a veth, whatever the node's
// defaults are: it forwards, replies to a process that called 127.0.0.1 come
// from it, and it makes no IPv6 addresses of its own. Replies of tasks are
// routed by mark, so the strict filter would drop them where
// net.ipv4.conf.all.src_valid_mark is set.
func taskSettings(name string, ipv6 bool) []setting {
	v4, v6 := "net/ipv4/conf/"+name+"/", "net/ipv6/conf/"+name+"/"
	list := []setting{{v4 + "forwarding", "1"}, {v4 + "rp_filter", "2"}, {v4 + "route_localnet", "1"}}
	if ipv6 {
		list = append(list, setting{v6 + "disable_ipv6", "0"}, setting{v6 + "addr_gen_mode", "1"},
			setting{v6 + "accept_ra", "0"}, setting{v6 + "forwarding", "1"})
	}
	return list
}

// holdsSettings reports whether all settings are as they should be.
func holdsSettings(list []setting) bool {
	return !slices.ContainsFunc(list, func(s setting) bool {
		v, err := readSysctl(s.path)
		return err != nil || v != s.value
	})
}

// address is an address that can be used at once: nobody else can have it,
// so IPv6 need not ask around.
func address(ip net.IP, bits int) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, len(ip)*8)}}
	if len(ip) == net.IPv6len {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}
