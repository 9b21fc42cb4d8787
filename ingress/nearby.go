package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Nearby is a network that this machine reaches by itself, without the cluster.
type Nearby struct {
	Prefix netip.Prefix
	// Device leads there; empty when several do.
	Device string
	// Own: the machine has an address in it.
	Own bool
}

// String names the network as people do.
func (n Nearby) String() string {
	if n.Device == "" {
		return n.Prefix.String()
	}
	return fmt.Sprintf("%s (%s)", n.Prefix, n.Device)
}

// NearbyNetworks lists the networks of the machine's addresses and those that
// its routes name, default routes and what is of the data plane left out. It
// looks in the network namespace of the calling thread.
func NearbyNetworks() ([]Nearby, error) {
	k, err := openKernel()
	if err != nil {
		return nil, err
	}
	defer k.close()
	return nearbyOf(k.nl)
}

func nearbyOf(nl *netlink.Handle) ([]Nearby, error) {
	links, err := whole(nl.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	names := make(map[int]string)
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	addrs, err := addrsOf(nl, nil)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	routes, err := whole(func() ([]netlink.Route, error) {
		filter := &netlink.Route{Type: unix.RTN_UNICAST, Table: unix.RT_TABLE_UNSPEC}
		return nl.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_TYPE|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var list []Nearby
	for _, a := range addrs {
		list = append(list, Nearby{Prefix: prefix(a.IPNet), Device: names[a.LinkIndex], Own: true})
	}
	for _, r := range routes {
		if r.Dst != nil && r.Protocol != routeProtocol {
			list = append(list, Nearby{Prefix: prefix(r.Dst), Device: names[r.LinkIndex]})
		}
	}
	return foreign(list), nil
}

// foreign leaves out what is no network of others, and what is there twice.
func foreign(list []Nearby) (kept []Nearby) {
	seen := make(map[netip.Prefix]bool)
	for _, n := range list {
		a := n.Prefix.Addr()
		ours := n.Device == Overlay || strings.HasPrefix(n.Device, TaskLinkPrefix)
		n.Prefix = n.Prefix.Masked()
		if ours || n.Prefix.Bits() <= 0 || a.IsLoopback() || a.IsMulticast() || a.Is6() && a.IsLinkLocalUnicast() || seen[n.Prefix] {
			continue
		}
		seen[n.Prefix] = true
		kept = append(kept, n)
	}
	return kept
}

// Overlaps compares the networks of tasks with those that a machine reaches by
// itself. conflicts are those that lose machines to tasks; wider are
// networks that only a route leads to, and of which tasks take a part: whether
// anybody is there, nobody here can tell.
func Overlaps(tasks []netip.Prefix, near []Nearby) (conflicts, wider error) {
	var both [2][]error
	for _, n := range near {
		for _, t := range tasks {
			switch {
			case !n.Prefix.Overlaps(t):
			case n.Own || n.Prefix.Bits() >= t.Bits():
				both[0] = append(both[0], overlap("the tasks' "+t.String(), n))
			default:
				both[1] = append(both[1], overlap("the tasks' "+t.String(), n))
			}
		}
		if inTunnel(n.Prefix) {
			both[0] = append(both[0], overlap("what nodes have in the tunnel", n))
		}
	}
	return errors.Join(both[0]...), errors.Join(both[1]...)
}

func overlap(with string, n Nearby) error {
	what := "route to"
	if n.Own {
		what = "network"
	}
	return fmt.Errorf("this machine's %s %s overlaps with %s: what is there cannot be reached from here while a task has its address; "+
		"move the machine to other addresses, or found the cluster with another --default-addr-pool", what, n, with)
}

// tunnelRanges are the ranges of tunnel4 and tunnel6.
func tunnelRanges() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(tunnel4(0), 17).Masked(), netip.PrefixFrom(tunnel6(0), 64)}
}

// inTunnel reports whether the network is inside of what nodes have in the
// tunnel. The whole of 169.254.0.0/16, which many machines have, is not: nodes
// are reached by routes of their own. Nor is what clouds serve metadata at.
func inTunnel(p netip.Prefix) bool {
	if p.Bits() >= 24 && p.Addr().Is4() && slices.Contains([]byte{169, 170}, p.Addr().As4()[2]) {
		return false // see tunnel4
	}
	return slices.ContainsFunc(tunnelRanges(), func(t netip.Prefix) bool { return t.Overlaps(p) && p.Bits() >= t.Bits() })
}

// Neighbourhood looks at what a machine reaches by itself, beside its data plane.
type Neighbourhood struct{ Plane *Plane }

// Overlapping is what of the machine's networks overlaps with those of the
// cluster, see [Overlaps].
func (n Neighbourhood) Overlapping(context.Context) error {
	conflicts, _, err := n.look()
	return errors.Join(err, conflicts)
}

// Covering is what the machine has wider routes to than the cluster's networks
// that they cover; see [Overlaps].
func (n Neighbourhood) Covering(context.Context) error {
	_, wider, err := n.look()
	return errors.Join(err, wider)
}

func (n Neighbourhood) look() (conflicts, wider, err error) {
	w := n.Plane.want.Load()
	if w == nil {
		return nil, nil, nil
	}
	var tasks []netip.Prefix
	for _, network := range w.Networks {
		tasks = append(tasks, network.Subnets...)
	}
	var near []Nearby
	err = n.Plane.in(func(k *kernel) (err error) {
		near, err = nearbyOf(k.nl)
		return err
	})
	conflicts, wider = Overlaps(tasks, near)
	return conflicts, wider, err
}
