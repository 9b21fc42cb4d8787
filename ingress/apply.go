package ingress

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/ruleset"
)

// apply turns have, which the kernel holds, into want; tables are the
// differences of their tables. It adds before it takes away, so that nothing
// that stays is ever missing. It returns the index of the overlay device.
func (k *kernel) apply(have, want *state, tables tableChanges) (link int, err error) {
	// A connection that began without a zone would be lost to the zone later.
	if err := applyTables(ruleset.Zones, want, tables); err != nil {
		return 0, err
	}
	link, err = k.applyDevice(have, want)
	if err != nil {
		return 0, err
	}
	if err := k.applySysctls(have, want); err != nil {
		return 0, err
	}
	if err := k.applyOverlay(link, have, want); err != nil {
		return 0, err
	}
	for _, r := range want.routes.minus(have.routes) {
		if err := k.nl.RouteReplace(r.netlink(link)); err != nil {
			return 0, fmt.Errorf("add route %s: %w", r, err)
		}
	}
	for _, p := range want.rules.minus(have.rules) {
		if err := k.nl.RuleAdd(p.netlink()); err != nil && !errors.Is(err, unix.EEXIST) {
			return 0, fmt.Errorf("add routing rule %s: %w", p, err)
		}
	}
	if err := applyTables(ruleset.Mesh, want, tables); err != nil {
		return 0, err
	}
	return link, k.takeAway(link, have, want)
}

// applyTables makes the changes of the tables of one name.
func applyTables(name string, want *state, tables tableChanges) error {
	for id, t := range want.tables {
		if id.Name != name {
			continue
		}
		if err := ruleset.Apply(tables[id], t); err != nil {
			return err
		}
	}
	return nil
}

// takeAway removes what have holds beside want. What is gone already is fine.
func (k *kernel) takeAway(link int, have, want *state) error {
	for _, p := range have.rules.minus(want.rules) {
		if err := k.nl.RuleDel(p.netlink()); err != nil && !gone(err) {
			return fmt.Errorf("delete routing rule %s: %w", p, err)
		}
	}
	replacing := make(set[route]) // by destination and table, which are the kernel's key
	for r := range want.routes {
		if r.via.IsValid() {
			replacing.add(route{dst: r.dst, table: r.table})
		}
	}
	for _, r := range have.routes.minus(want.routes) {
		if _, ok := replacing[route{dst: r.dst, table: r.table}]; ok && r.via.IsValid() {
			continue
		}
		if err := k.nl.RouteDel(r.netlink(link)); err != nil && !gone(err) {
			return fmt.Errorf("delete route %s: %w", r, err)
		}
	}
	for _, n := range have.neighs.minus(want.neighs) {
		if replaced(n, want.neighs) {
			continue
		}
		if err := k.nl.NeighDel(n.netlink(link)); err != nil && !gone(err) {
			return fmt.Errorf("delete neighbour %s: %w", n, err)
		}
	}
	for _, f := range have.frames.minus(want.frames) {
		if err := k.nl.NeighDel(f.netlink(link)); err != nil && !gone(err) {
			return fmt.Errorf("delete forwarding entry %s: %w", f, err)
		}
	}
	for _, a := range have.addrs.minus(want.addrs) {
		dev := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: link, Name: Overlay}}
		if err := k.nl.AddrDel(dev, &netlink.Addr{IPNet: ipNet(a)}); err != nil && !gone(err) {
			return fmt.Errorf("delete address %s from %s: %w", a, Overlay, err)
		}
	}
	return nil
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
	for _, s := range want.sysctls.minus(have.sysctls) {
		if s.path == "net/ipv6/conf/all/forwarding" {
			if err := keepRouterAdvertisements(); err != nil {
				return err
			}
		}
		if err := writeSysctl(s.path, s.value); err != nil {
			return err
		}
	}
	return nil
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
