package ingress

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/ruleset"
)

// apply turns have, which the kernel holds, into want; tables are the
// differences of their tables. It adds before it takes away, so that nothing
// that stays is ever missing. It returns the index of the overlay device.
//
// What fails costs its own share only: where the kernel refuses something of
// one family, or one address, the rest is made all the same.
func (k *kernel) apply(have, want *state, tables tableChanges) (link int, err error) {
	// A connection that began without a zone would be lost to the zone later.
	if err := applyTables(ruleset.Zones, want, tables); err != nil {
		return 0, err
	}
	link, err = k.applyDevice(have, want)
	if err != nil {
		return 0, err
	}
	return link, errors.Join(
		k.applySysctls(have, want),
		k.applyOverlay(link, have, want),
		k.applyRouting(link, have, want),
		applyTables(ruleset.Mesh, want, tables),
		k.takeAway(link, have, want),
	)
}

// each does f to all of the list, also when it failed for some, and returns
// the first failure: of thousands of one kind one says it.
func each[T any](list []T, f func(T) error) (first error) {
	for _, v := range list {
		if err := f(v); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// applyRouting adds routes and routing rules.
func (k *kernel) applyRouting(link int, have, want *state) error {
	return errors.Join(
		each(want.routes.minus(have.routes), func(r route) error {
			if err := k.nl.RouteReplace(r.netlink(link)); err != nil {
				return fmt.Errorf("add route %s: %w", r, err)
			}
			return nil
		}),
		each(want.rules.minus(have.rules), func(p policy) error {
			if err := k.nl.RuleAdd(p.netlink()); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("add routing rule %s: %w", p, err)
			}
			return nil
		}),
	)
}

// applyTables makes the changes of the tables of one name.
func applyTables(name string, want *state, tables tableChanges) error {
	return each(slices.Collect(maps.Keys(want.tables)), func(id ruleset.ID) error {
		if id.Name != name {
			return nil
		}
		return ruleset.Apply(tables[id], want.tables[id])
	})
}

// takeAway removes what have holds beside want. What is gone already is fine.
func (k *kernel) takeAway(link int, have, want *state) error {
	dev := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: link, Name: Overlay}}
	return errors.Join(
		each(have.rules.minus(want.rules), func(p policy) error {
			return deleted("routing rule", p, k.nl.RuleDel(p.netlink()))
		}),
		each(superfluous(have, want), func(r route) error {
			return deleted("route", r, k.nl.RouteDel(r.netlink(link)))
		}),
		each(have.neighs.minus(want.neighs), func(n neigh) error {
			if replaced(n, want.neighs) {
				return nil
			}
			return deleted("neighbour", n, k.nl.NeighDel(n.netlink(link)))
		}),
		each(have.frames.minus(want.frames), func(f frame) error {
			return deleted("forwarding entry", f, k.nl.NeighDel(f.netlink(link)))
		}),
		each(have.addrs.minus(want.addrs), func(a netip.Prefix) error {
			return deleted("address", a, k.nl.AddrDel(dev, &netlink.Addr{IPNet: ipNet(a)}))
		}),
	)
}

// deleted words the failure of a deletion.
func deleted(what string, which fmt.Stringer, err error) error {
	if err == nil || gone(err) {
		return nil
	}
	return fmt.Errorf("delete %s %s: %w", what, which, err)
}

// superfluous returns the routes to remove. Those in whose place another was
// put are gone: the kernel's key is destination and table.
func superfluous(have, want *state) (routes []route) {
	replacing := make(set[route])
	for r := range want.routes {
		if r.via.IsValid() {
			replacing.add(route{dst: r.dst, table: r.table})
		}
	}
	for _, r := range have.routes.minus(want.routes) {
		if _, ok := replacing[route{dst: r.dst, table: r.table}]; !ok || !r.via.IsValid() {
			routes = append(routes, r)
		}
	}
	return routes
}

func replaced(n neigh, want set[neigh]) bool {
	for w := range want {
		if w.ip == n.ip {
			return true
		}
	}
	return false
}

func gone(err error) bool {
	return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV)
}

// applyDevice returns the index of the overlay device after making it as
// wanted. What cannot be changed makes it anew, and then have no longer holds
// what was on it.
func (k *kernel) applyDevice(have, want *state) (int, error) {
	h, w := have.device, want.device
	if same := h; h != (device{}) {
		same.mtu, same.up, same.mac = w.mtu, w.up, w.mac
		if same != w {
			if err := k.deleteOverlay(); err != nil {
				return 0, err
			}
			have.forgetDevice()
		}
	}
	if have.device == (device{}) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = Overlay, w.mtu, w.mac.addr()
		err := k.nl.LinkAdd(&netlink.Vxlan{LinkAttrs: attrs, VxlanId: w.vni, Port: w.port, SrcAddr: w.local.AsSlice(), Learning: false})
		if err != nil {
			return 0, fmt.Errorf("add device %s: %w", Overlay, err)
		}
		have.device = w
		have.device.up = false
		if k.ipv6 {
			// No link-local address: nothing on this device asks its neighbours.
			for path, v := range map[string]string{"disable_ipv6": "0", "addr_gen_mode": "1", "accept_dad": "0"} {
				if err := writeSysctl("net/ipv6/conf/"+Overlay+"/"+path, v); err != nil {
					return 0, err
				}
			}
		}
	}
	link, err := k.nl.LinkByName(Overlay)
	if err != nil {
		return 0, fmt.Errorf("look at device %s: %w", Overlay, err)
	}
	if have.device.mac != w.mac {
		if err := k.nl.LinkSetHardwareAddr(link, w.mac.addr()); err != nil {
			return 0, fmt.Errorf("set link address of %s: %w", Overlay, err)
		}
	}
	if have.device.mtu != w.mtu {
		if err := k.nl.LinkSetMTU(link, w.mtu); err != nil {
			return 0, fmt.Errorf("set MTU of %s to %d: %w", Overlay, w.mtu, err)
		}
	}
	if !have.device.up {
		if err := k.nl.LinkSetUp(link); err != nil {
			return 0, fmt.Errorf("set %s up: %w", Overlay, err)
		}
		// Routes and neighbours go when a device goes down.
		have.forgetDevice()
		have.device = w
	}
	return link.Attrs().Index, nil
}

func (k *kernel) deleteOverlay() error {
	link, err := k.nl.LinkByName(Overlay)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = k.nl.LinkDel(link)
	}
	if err != nil {
		return fmt.Errorf("delete device %s: %w", Overlay, err)
	}
	return nil
}

func (k *kernel) applySysctls(have, want *state) error {
	return each(want.sysctls.minus(have.sysctls), func(s setting) error {
		if strings.HasPrefix(s.path, "net/ipv6/") && strings.HasSuffix(s.path, "/forwarding") {
			if err := keepRouterAdvertisements(); err != nil {
				return err
			}
		}
		return writeSysctl(s.path, s.value)
	})
}

// keepRouterAdvertisements lets devices that learn their IPv6 routes from
// routers go on doing so: by default the kernel stops once it forwards.
func keepRouterAdvertisements() error {
	devices, err := os.ReadDir("/proc/sys/net/ipv6/conf")
	if err != nil {
		return fmt.Errorf("list IPv6 devices: %w", err)
	}
	for _, d := range devices {
		path := "net/ipv6/conf/" + d.Name() + "/accept_ra"
		if v, err := readSysctl(path); err != nil || v != "1" || d.Name() == "all" || d.Name() == "lo" {
			continue
		}
		if err := writeSysctl(path, "2"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
