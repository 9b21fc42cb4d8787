package founding

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/manager/allocator/ipam"
	"github.com/muster/muster/proto/spec"
)

func dataPathPort(n uint32) (uint32, error) {
	switch {
	case n == 0:
		return spec.DefaultDataPathPort, nil
	case n < 1024 || n > 49151:
		return 0, fmt.Errorf("--data-path-port %d: use 1024 to 49151: %w", n, errdefs.ErrInvalidArgument)
	}
	return n, nil
}

// ingressBits is the size of the network of published ports: 65,533 tasks.
const ingressBits = 16

// ingressSubnets cuts the network of published ports from the pool, beside
// the networks in use. IPv6 tasks get addresses that are unique to the cluster
// (RFC 4193).
func ingressSubnets(pool, clusterID string, inUse, routed []netip.Prefix) ([]string, error) {
	if pool == "" {
		pool = spec.DefaultAddrPool
	}
	prefix, err := netip.ParsePrefix(pool)
	if err != nil || !prefix.Addr().Is4() || prefix != prefix.Masked() {
		return nil, fmt.Errorf("--default-addr-pool %q: use an IPv4 prefix such as %s: %w", pool, spec.DefaultAddrPool, errdefs.ErrInvalidArgument)
	}
	bits := max(ingressBits, prefix.Bits())
	subnet, err := ipam.Cut(prefix, bits, slices.Concat(inUse, routed))
	if errdefs.IsResourceExhausted(err) {
		subnet, err = ipam.Cut(prefix, bits, inUse)
	}
	if err != nil {
		return nil, fmt.Errorf("--default-addr-pool: %w", err)
	}
	return []string{subnet.String(), uniqueLocal(clusterID).String()}, nil
}

func uniqueLocal(clusterID string) netip.Prefix {
	sum := sha256.Sum256([]byte(clusterID))
	addr := [16]byte{0: 0xfd}
	copy(addr[1:6], sum[:]) // the 40 bits of the global id
	return netip.PrefixFrom(netip.AddrFrom16(addr), 64)
}
