package ingress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/ruleset"
)

// leastMTU6 is the least MTU of a device with IPv6, in bytes (RFC 8200, 5). The
// kernel switches IPv6 off on others.
const leastMTU6 = 1280

// kernel reads and writes the network state of the calling thread's network namespace.
type kernel struct {
	nl   *netlink.Handle
	ipv6 bool // the kernel has IPv6, and the devices of the overlay can have it
}

func openKernel() (*kernel, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	_, err = os.Stat("/proc/sys/net/ipv6")
	return &kernel{nl: nl, ipv6: err == nil}, nil
}

func (k *kernel) close() { k.nl.Close() }

// whole lists until nothing changed meanwhile: the kernel says when a list may
// lack entries, as it often is on a node whose tasks come and go (NLM_F_DUMP_INTR).
func whole[T any](list func() ([]T, error)) (all []T, err error) {
	for range 10 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return nil, err
}

// addrsOf lists the addresses of a device, or of all if link is nil.
func addrsOf(nl *netlink.Handle, link netlink.Link) ([]netlink.Addr, error) {
	return whole(func() ([]netlink.Addr, error) { return nl.AddrList(link, netlink.FAMILY_ALL) })
}

// underlay returns the device that has the address.
func (k *kernel) underlay(a netip.Addr) (*netlink.LinkAttrs, error) {
	addrs, err := addrsOf(k.nl, nil)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, have := range addrs {
		if got, ok := netip.AddrFromSlice(have.IP); ok && got.Unmap() == a.Unmap() {
			link, err := k.nl.LinkByIndex(have.LinkIndex)
			if err != nil {
				return nil, fmt.Errorf("look at the device of %s: %w", a, err)
			}
			return link.Attrs(), nil
		}
	}
	return nil, fmt.Errorf("data-path address %s is on no device of this node: if the machine has another one now, \"muster swarm move\" on it tells the cluster: %w", a, errdefs.ErrFailedPrecondition)
}

// read returns what the kernel holds of ours. Of sysctls it returns those in want.
func (k *kernel) read(want *state) (*state, error) {
	s := newState()
	index, err := k.readDevice(s)
	if err != nil {
		return nil, err
	}
	if index != 0 {
		if err := k.readOverlay(s, index); err != nil {
			return nil, err
		}
	}
	if err := k.readRoutes(s, index); err != nil {
		return nil, err
	}
	if err := k.readRules(s); err != nil {
		return nil, err
	}
	for w := range want.sysctls {
		if v, err := readSysctl(w.path); err == nil {
			s.sysctls.add(setting{w.path, v})
		}
	}
	for id := range want.tables {
		t, err := ruleset.Read(id)
		if err != nil {
			return nil, err
		}
		if t != nil {
			s.tables[id] = t
		}
	}
	return s, nil
}

func (k *kernel) readDevice(s *state) (index int, err error) {
	link, err := k.nl.LinkByName(Overlay)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at device %s: %w", Overlay, err)
	}
	a := link.Attrs()
	s.device = device{mtu: a.MTU, up: a.Flags&net.FlagUp != 0}
	copy(s.device.mac[:], a.HardwareAddr)
	if v, ok := link.(*netlink.Vxlan); ok && !v.Learning {
		local, _ := netip.AddrFromSlice(v.SrcAddr)
		s.device.vni, s.device.port, s.device.local = v.VxlanId, v.Port, local.Unmap()
	}
	return a.Index, nil
}

func (k *kernel) readOverlay(s *state, index int) error {
	addrs, err := addrsOf(k.nl, &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index, Name: Overlay}})
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", Overlay, err)
	}
	for _, a := range addrs {
		if p := prefix(a.IPNet); !p.Addr().IsLinkLocalUnicast() || p.Addr().Is4() { // the kernel makes IPv6 link-local ones
			s.addrs.add(p)
		}
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6, unix.AF_BRIDGE} {
		list, err := whole(func() ([]netlink.Neigh, error) { return k.nl.NeighList(index, family) })
		if err != nil {
			return fmt.Errorf("list neighbours of %s: %w", Overlay, err)
		}
		for _, n := range list {
			ip, ok := netip.AddrFromSlice(n.IP)
			if !ok || n.State&unix.NUD_PERMANENT == 0 {
				continue
			}
			var m mac
			copy(m[:], n.HardwareAddr)
			if family == unix.AF_BRIDGE {
				s.frames.add(frame{m, ip.Unmap()})
			} else {
				s.neighs.add(neigh{ip.Unmap(), m})
			}
		}
	}
	return nil
}

// readRoutes reads our routes but those to the tasks of this node, which come and go with their veths.
func (k *kernel) readRoutes(s *state, overlay int) error {
	filter := &netlink.Route{Protocol: routeProtocol, Table: unix.RT_TABLE_UNSPEC}
	list, err := whole(func() ([]netlink.Route, error) {
		return k.nl.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range list {
		refuses := r.Type == unix.RTN_UNREACHABLE
		if !refuses && (overlay == 0 || r.LinkIndex != overlay) {
			continue
		}
		got := route{table: uint32(r.Table)}
		if via, ok := netip.AddrFromSlice(r.Gw); ok && !refuses {
			got.via = via.Unmap()
		}
		if r.Dst != nil {
			got.dst = prefix(r.Dst)
		} else {
			got.dst = everything(got.via)
		}
		s.routes.add(got)
	}
	return nil
}

func (k *kernel) readRules(s *state) error {
	for _, family := range k.families() {
		list, err := whole(func() ([]netlink.Rule, error) { return k.nl.RuleListFiltered(family, nil, 0) })
		if err != nil {
			return fmt.Errorf("list routing rules: %w", err)
		}
		for _, r := range list {
			if r.Protocol != routeProtocol {
				continue
			}
			p := policy{v6: family == unix.AF_INET6, priority: r.Priority, not: r.Invert, mark: r.Mark}
			if r.Mask != nil {
				p.mask = *r.Mask
			}
			if r.Goto > 0 {
				p.goTo = r.Goto
			} else if r.Table > 0 {
				p.table = uint32(r.Table)
			}
			s.rules.add(p)
		}
	}
	return nil
}

func (k *kernel) families() []int {
	if k.ipv6 {
		return []int{unix.AF_INET, unix.AF_INET6}
	}
	return []int{unix.AF_INET}
}

func readSysctl(path string) (string, error) {
	b, err := os.ReadFile(filepath.Join("/proc/sys", path))
	return strings.TrimSpace(string(b)), err
}

func writeSysctl(path, value string) error {
	if err := os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0o644); err != nil {
		return fmt.Errorf("set sysctl: %w", err)
	}
	return nil
}

func prefix(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
