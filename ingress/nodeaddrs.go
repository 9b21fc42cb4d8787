package ingress

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// maxNodeAddrs is the most addresses that a node tells. Others hold each of
// them together with each of the node's tasks.
const maxNodeAddrs = 16

// NodeAddrs returns, in order, the addresses that this machine's processes may
// call other nodes from, beside its data-path address: at most 16, neither
// loopback nor link-local ones, nor those of the data plane. It looks in the
// network namespace of the calling thread.
func NodeAddrs(underlay netip.Addr) (addrs []netip.Addr, err error) {
	devices, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	for _, dev := range devices {
		if dev.Name == Overlay || strings.HasPrefix(dev.Name, TaskLinkPrefix) {
			continue
		}
		list, err := dev.Addrs()
		if err != nil {
			continue // the device has just gone
		}
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() && p.Addr() != underlay {
				addrs = append(addrs, p.Addr())
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	return addrs[:min(len(addrs), maxNodeAddrs)], nil
}
