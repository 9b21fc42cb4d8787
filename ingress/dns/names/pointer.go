package names

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// pointer answers whose an address is. Of an address of the cluster's networks
// only those who are in the network hear it; nobody else is asked.
func (t *Table) pointer(c *Client, q dns.Question, addr netip.Addr) Answer {
	a := Answer{Rcode: dns.RcodeNameError}
	for id, n := range t.networks {
		if slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return s.Contains(addr) }) {
			a.Ours = true
		}
		if !slices.Contains(c.Networks, id) {
			continue
		}
		owners, _ := n.owners.Get(addr.AsSlice())
		for _, o := range owners {
			a.Ours, a.Rcode = true, dns.RcodeSuccess
			if q.Qtype != dns.TypePTR && q.Qtype != dns.TypeANY {
				continue
			}
			a.Records = append(a.Records, &dns.PTR{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: ttl},
				Ptr: o.name(c.Domain),
			})
		}
	}
	return a
}

// name is one that leads back to the address.
func (o owner) name(domain string) string {
	name := o.service.Name
	switch {
	case o.slot != "":
		name = o.slot + "." + name
	case !o.virtual && len(o.service.Virtual) > 0:
		name = "tasks." + name
	}
	if domain != "" {
		name += "." + domain
	}
	return dns.Fqdn(name)
}

// reversed is the address that a whole name below in-addr.arpa or ip6.arpa
// stands for.
func reversed(name string) (netip.Addr, bool) {
	if digits, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(digits, ".")
		slices.Reverse(parts)
		addr, err := netip.ParseAddr(strings.Join(parts, "."))
		return addr, err == nil && addr.Is4()
	}
	if digits, ok := strings.CutSuffix(name, ".ip6.arpa"); ok && len(digits) == 63 {
		var b strings.Builder
		for i := len(digits) - 1; i >= 0; i -= 2 {
			if i < len(digits)-1 && digits[i+1] != '.' {
				return netip.Addr{}, false
			}
			b.WriteByte(digits[i])
			if n := (len(digits)-1-i)/2 + 1; n%4 == 0 && n < 32 {
				b.WriteByte(':')
			}
		}
		addr, err := netip.ParseAddr(b.String())
		return addr, err == nil && addr.Is6() && !addr.Is4In6()
	}
	return netip.Addr{}, false
}
