package ipam

import (
	"fmt"
	"net/netip"

	"github.com/containerd/errdefs"
)

// Cut returns the lowest subnet of the given prefix length in pool that
// overlaps none of used. Errors: errdefs.ErrInvalidArgument when the length
// does not fit the pool, errdefs.ErrResourceExhausted when nothing is free.
func Cut(pool netip.Prefix, bits int, used []netip.Prefix) (netip.Prefix, error) {
	pool = pool.Masked()
	if bits < pool.Bits() || bits > pool.Addr().BitLen() {
		return netip.Prefix{}, fmt.Errorf("subnets of /%d cannot be cut from %s: %w", bits, pool, errdefs.ErrInvalidArgument)
	}
	for candidate := netip.PrefixFrom(pool.Addr(), bits); ; {
		taken := overlapping(candidate, used)
		if !taken.IsValid() {
			return candidate, nil
		}
		// Go on behind whichever of the two ends later.
		behind := candidate
		if taken.Bits() < candidate.Bits() {
			behind = taken
		}
		next := last(behind).Next()
		if !next.IsValid() || !pool.Contains(next) {
			return netip.Prefix{}, fmt.Errorf("no subnet of /%d is left in %s: %w", bits, pool, errdefs.ErrResourceExhausted)
		}
		candidate = netip.PrefixFrom(next, bits)
	}
}

func overlapping(p netip.Prefix, used []netip.Prefix) netip.Prefix {
	for _, u := range used {
		if u = u.Masked(); u.Overlaps(p) {
			return u
		}
	}
	return netip.Prefix{}
}

// last returns the highest address of p.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
