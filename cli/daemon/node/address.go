package node

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/ingress"
	"github.com/muster/muster/proto/spec"
)

// Host is what addresses are resolved against.
type Host struct {
	// Interfaces maps their names to their addresses.
	Interfaces map[string][]netip.Addr
	// Near are the networks that the host reaches by itself.
	Near []ingress.Nearby
}

// ThisHost reads the addresses of this network namespace.
func ThisHost() (Host, error) {
	h := Host{Interfaces: make(map[string][]netip.Addr)}
	ifs, err := net.Interfaces()
	if err != nil {
		return h, fmt.Errorf("list network interfaces: %w", err)
	}
	for _, i := range ifs {
		addrs, err := i.Addrs()
		if err != nil {
			return h, fmt.Errorf("list addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				h.Interfaces[i.Name] = append(h.Interfaces[i.Name], p.Addr().Unmap())
			}
		}
	}
	h.Near, err = ingress.NearbyNetworks()
	return h, err
}

// inUse are the networks that the host is in, and those that it has routes to.
func (h Host) inUse() (own, routed []netip.Prefix) {
	for _, n := range h.Near {
		if n.Own {
			own = append(own, n.Prefix)
		} else {
			routed = append(routed, n.Prefix)
		}
	}
	return own, routed
}

// mustBeApart refuses a cluster whose tasks have addresses of these subnets when
// the host reaches some of them by itself.
func mustBeApart(network Network, subnets []string) error {
	h, err := network.Host()
	if err != nil {
		return err
	}
	var tasks []netip.Prefix
	for _, s := range subnets {
		if p, err := netip.ParsePrefix(s); err == nil {
			tasks = append(tasks, p)
		}
	}
	if conflicts, _ := ingress.Overlaps(tasks, h.Near); conflicts != nil {
		return fmt.Errorf("%w: %w", conflicts, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// advertised returns the address that IP|INTERFACE[:PORT] means. Empty means
// the one address of the host that others could reach; more than one is an
// error that lists them, as in Docker. Without a port it has the given one.
func (h Host) advertised(s string, port uint16) (netip.AddrPort, error) {
	if s == "" {
		addr, err := h.only()
		return netip.AddrPortFrom(addr, port), err
	}
	name, port, err := splitPort(s, port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, err := h.lookup(name)
	if err == nil && addr.IsUnspecified() {
		err = fmt.Errorf("address %q: others cannot connect to it; use an address of this host: %w", s, errdefs.ErrInvalidArgument)
	}
	return netip.AddrPortFrom(addr, port), err
}

// listening is advertised for the address to listen on, where all addresses
// is allowed and the default.
func (h Host) listening(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), spec.DefaultControlPort), nil
	}
	name, port, err := splitPort(s, spec.DefaultControlPort)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, err := h.lookup(name)
	return netip.AddrPortFrom(addr, port), err
}

// splitPort takes the port off HOST, HOST:PORT, IPv6 or [IPv6]:PORT; without
// one it is fallback.
func splitPort(s string, fallback uint16) (name string, port uint16, err error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.String(), fallback, nil
	}
	name, p, err := net.SplitHostPort(s)
	if err != nil {
		return s, fallback, nil //nolint:nilerr // no port in it
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("address %q: port %q is not 1 to 65535: %w", s, p, errdefs.ErrInvalidArgument)
	}
	return name, uint16(n), nil
}

func (h Host) lookup(name string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap(), nil
	}
	addrs, ok := h.Interfaces[name]
	if !ok {
		return netip.Addr{}, fmt.Errorf("address %q is neither an IP address nor an interface of this host: %w", name, errdefs.ErrInvalidArgument)
	}
	for _, a := range addrs {
		if reachable(a) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("interface %s has no address that others can reach: %w", name, errdefs.ErrInvalidArgument)
}

// has reports whether a is an address of this host.
func (h Host) has(a netip.Addr) bool {
	for _, addrs := range h.Interfaces {
		if slices.Contains(addrs, a) {
			return true
		}
	}
	return false
}

// only is the one address of the host that others could reach, of IPv4 if there
// is any.
func (h Host) only() (netip.Addr, error) {
	var v4, all []netip.Addr
	for _, addrs := range h.Interfaces {
		for _, a := range addrs {
			if !reachable(a) {
				continue
			}
			all = append(all, a)
			if a.Is4() {
				v4 = append(v4, a)
			}
		}
	}
	candidates := all
	if len(v4) > 0 {
		candidates = v4
	}
	switch len(candidates) {
	case 0:
		return netip.Addr{}, fmt.Errorf("this host has no address that others can reach: name one with --advertise-addr: %w", errdefs.ErrFailedPrecondition)
	case 1:
		return candidates[0], nil
	}
	slices.SortFunc(candidates, netip.Addr.Compare)
	return netip.Addr{}, fmt.Errorf("this host has several addresses (%v): name the one that others reach with --advertise-addr: %w", candidates, errdefs.ErrFailedPrecondition)
}

func reachable(a netip.Addr) bool {
	return !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsUnspecified() && !a.IsMulticast()
}

// addresses resolves what init and join are told about addresses.
func addresses(h Host, advertise, listen, dataPath string) (s settings, err error) {
	if s.Listen, err = h.listening(listen); err != nil {
		return s, fmt.Errorf("--listen-addr: %w", err)
	}
	if s.Advertise, err = h.advertised(advertise, s.Listen.Port()); err != nil {
		return s, fmt.Errorf("--advertise-addr: %w", err)
	}
	if listen == "" {
		// Another port that is advertised is the one to listen on as well.
		s.Listen = netip.AddrPortFrom(s.Listen.Addr(), s.Advertise.Port())
	}
	s.DataPath, err = h.tunnelEnd(s.Advertise.Addr(), dataPath)
	return s, err
}

// tunnelEnd is the address that the traffic between tasks leaves from. It must
// be this host's own, while the one that others reach may be a router's.
func (h Host) tunnelEnd(advertised netip.Addr, dataPath string) (netip.Addr, error) {
	if dataPath == "" {
		if !h.has(advertised) {
			return netip.Addr{}, fmt.Errorf(
				"--advertise-addr %s is on no interface of this host: correct it, or, if others reach this host at it, name an address of this host with --data-path-addr: %w",
				advertised, errdefs.ErrInvalidArgument)
		}
		return advertised, nil
	}
	addr, err := h.lookup(dataPath)
	if err != nil {
		return addr, fmt.Errorf("--data-path-addr: %w", err)
	}
	if !h.has(addr) {
		return addr, fmt.Errorf("--data-path-addr %s is on no interface of this host: %w", addr, errdefs.ErrInvalidArgument)
	}
	return addr, nil
}
