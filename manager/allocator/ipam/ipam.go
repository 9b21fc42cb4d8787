// Package ipam hands out addresses: pure set arithmetic on prefixes.
package ipam

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/containerd/errdefs"
)

// maxHostBits bounds the set of a pool: 24 bits are 16 million addresses and
// 2 MB. A larger prefix is used up to there.
const maxHostBits = 24

// firstHost is the lowest host number given out. 0 is the network itself, and
// 1 is left to gateways people may put there.
const firstHost = 2

// Pool gives addresses that are free in all of its prefixes at once: an IPv4
// and an IPv6 address given together have the same host number.
//
// It walks on from the last address given, and starts over only at the end, so
// that an address is left alone for long after it became free.
type Pool struct {
	prefixes []netip.Prefix
	used     []uint64 // one bit for each host number
	last     uint32   // given last
	end      uint32   // the highest host number
}

// NewPool returns the pool of all addresses of the prefixes, none used.
func NewPool(prefixes ...netip.Prefix) (*Pool, error) {
	if len(prefixes) == 0 {
		return nil, fmt.Errorf("no prefix to take addresses from: %w", errdefs.ErrInvalidArgument)
	}
	bits, broadcast := maxHostBits, uint32(0)
	for _, p := range prefixes {
		if !p.IsValid() {
			return nil, fmt.Errorf("address prefix %s is not valid: %w", p, errdefs.ErrInvalidArgument)
		}
		bits = min(bits, p.Addr().BitLen()-p.Bits())
	}
	for _, p := range prefixes {
		if p.Addr().Is4() && 32-p.Bits() == bits {
			broadcast = 1 // the highest number is the broadcast address
		}
	}
	end := uint32(1)<<bits - 1
	if end >= firstHost {
		end -= broadcast
	}
	if end < firstHost {
		return nil, fmt.Errorf("prefix %s leaves no address for tasks: %w", join(prefixes), errdefs.ErrInvalidArgument)
	}
	return &Pool{prefixes: prefixes, used: make([]uint64, end/64+1), last: firstHost - 1, end: end}, nil
}

// ParsePool is NewPool of prefixes in text.
func ParsePool(prefixes []string) (*Pool, error) {
	parsed := make([]netip.Prefix, 0, len(prefixes))
	for _, s := range prefixes {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("address prefix %q: %w: %w", s, err, errdefs.ErrInvalidArgument)
		}
		parsed = append(parsed, p.Masked())
	}
	return NewPool(parsed...)
}

// Use marks an address as taken; one that is not of the pool is ignored.
func (p *Pool) Use(a netip.Addr) {
	if n, ok := p.host(a); ok {
		p.used[n/64] |= 1 << (n % 64)
	}
}

// Walk says that a was the last address given.
func (p *Pool) Walk(a netip.Addr) {
	if n, ok := p.host(a); ok {
		p.last = max(n, firstHost-1)
	}
}

// Next takes the lowest free address after the last one given, in each prefix,
// and starts over at the end. ok is false when none is left.
func (p *Pool) Next() (addrs []netip.Addr, ok bool) {
	n, ok := p.next()
	if !ok {
		return nil, false
	}
	p.used[n/64] |= 1 << (n % 64)
	p.last = n
	for _, prefix := range p.prefixes {
		addrs = append(addrs, offset(prefix.Addr(), n))
	}
	return addrs, true
}

// IsExhausted reports whether Next has none to give.
func (p *Pool) IsExhausted() bool {
	_, ok := p.next()
	return !ok
}

func (p *Pool) next() (n uint32, ok bool) {
	if n, ok = p.free(p.last+1, p.end); ok {
		return n, true
	}
	return p.free(firstHost, p.last)
}

// String names the prefixes.
func (p *Pool) String() string { return join(p.prefixes) }

// free finds the lowest free host number of from..to.
func (p *Pool) free(from, to uint32) (uint32, bool) {
	for n := from; n <= to && n <= p.end; n++ {
		word := p.used[n/64]
		if word == ^uint64(0) {
			n |= 63 // the whole word is taken
			continue
		}
		if word&(1<<(n%64)) == 0 {
			return n, true
		}
	}
	return 0, false
}

// host returns the number of an address within its prefix.
func (p *Pool) host(a netip.Addr) (uint32, bool) {
	for _, prefix := range p.prefixes {
		if !prefix.Contains(a) {
			continue
		}
		n := distance(prefix.Addr(), a)
		return uint32(min(n, uint64(p.end)+1)), n <= uint64(p.end)
	}
	return 0, false
}

// distance is how far a is behind the base of its prefix; more than 64 bits count as very far.
func distance(base, a netip.Addr) uint64 {
	b, c := base.As16(), a.As16()
	if binary.BigEndian.Uint64(b[:8]) != binary.BigEndian.Uint64(c[:8]) {
		return ^uint64(0)
	}
	return binary.BigEndian.Uint64(c[8:]) - binary.BigEndian.Uint64(b[8:])
}

// offset returns the n-th address after base, which has zeros there.
func offset(base netip.Addr, n uint32) netip.Addr {
	if base.Is4() {
		b := base.As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+n)
		return netip.AddrFrom4(b)
	}
	b := base.As16()
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+uint64(n))
	return netip.AddrFrom16(b)
}

func join(prefixes []netip.Prefix) string {
	text := make([]string, len(prefixes))
	for i, p := range prefixes {
		text[i] = p.String()
	}
	return strings.Join(text, " and ")
}
