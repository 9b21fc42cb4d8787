package names

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// How long who asks may keep an answer, in seconds. Where an endpoint is, it
// may not: it is out of all tables before it stops, and must be out of use then.
const (
	ttl         = 1
	ttlEndpoint = 0
)

// Answer is what a table says to a question.
type Answer struct {
	// Ours says that the question is about the cluster. All else in an answer that
	// is not ours means nothing: others are to be asked.
	Ours bool
	// Rcode is of DNS. Success without records says that the name has others.
	Rcode   int
	Records []dns.RR
	Extra   []dns.RR
}

// Answer answers a client's question, with the records in the table's order.
// The client may be nil: one that has gone knows no names.
func (t *Table) Answer(c *Client, q dns.Question) Answer {
	if c == nil || q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY {
		return Answer{}
	}
	name := fold(q.Name)
	if host, ok := c.host(name); ok {
		return addresses(q, []found{{addrs: host, ttl: ttl}})
	}
	if addr, ok := reversed(name); ok {
		return t.pointer(c, q, addr)
	}
	inDomain := false
	if c.Domain != "" {
		domain := fold(c.Domain)
		if name == domain {
			return Answer{Ours: true}
		}
		name, inDomain = strings.CutSuffix(name, "."+domain)
	}
	if m, ok := t.resolve(c, name); ok {
		return m.answer(q)
	}
	if inDomain {
		return Answer{Ours: true, Rcode: dns.RcodeNameError}
	}
	return Answer{}
}

func (c *Client) host(name string) ([]netip.Addr, bool) {
	i := slices.IndexFunc(c.Hosts, func(h Host) bool { return fold(h.Name) == name })
	if i < 0 {
		return nil, false
	}
	return c.Hosts[i].Addrs, true
}

// meaning is what a name stands for.
type meaning struct {
	services []*Service
	slot     string
	kind     kind
	port     string // of _PORT._PROTOCOL.NAME
	protocol string
}

type kind int

const (
	service  kind = iota // NAME
	tasks                // tasks.NAME
	endpoint             // SLOT.NAME, NAME.SLOT
	ports                // _PORT._PROTOCOL.NAME
)

// resolve finds what a name, without the search domain, stands for. Of names
// with dots only those of known services are ours, and a slot that a service
// does not have only where it is a number: mail.com may be another's, although
// there is a service "mail".
func (t *Table) resolve(c *Client, name string) (meaning, bool) {
	if s := t.find(c, name); s != nil {
		return meaning{services: s}, true
	}
	first, rest, dotted := strings.Cut(name, ".")
	if !dotted {
		return meaning{}, false
	}
	if s := t.find(c, rest); s != nil && first == "tasks" {
		return meaning{services: s, kind: tasks}, true
	}
	if protocol, of, ok := strings.Cut(rest, "."); ok && strings.HasPrefix(first, "_") && strings.HasPrefix(protocol, "_") {
		if s := t.find(c, of); s != nil {
			return meaning{services: s, kind: ports, port: first[1:], protocol: protocol[1:]}, true
		}
	}
	for _, m := range []struct{ name, slot string }{{rest, first}, {first, rest}} {
		s := t.find(c, m.name)
		if s != nil && (isNumber(m.slot) || hasSlot(s, m.slot)) {
			return meaning{services: s, kind: endpoint, slot: m.slot}, true
		}
	}
	return meaning{}, false
}

// find returns the services of a name or alias in the client's networks.
func (t *Table) find(c *Client, name string) (all []*Service) {
	for _, id := range c.Networks {
		n := t.networks[id]
		if n == nil {
			continue
		}
		if s, ok := n.services.Get([]byte(name)); ok {
			all = append(all, s)
		} else if aliased, ok := n.aliases.Get([]byte(name)); ok {
			all = append(all, aliased...)
		}
	}
	return all
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func hasSlot(services []*Service, slot string) bool {
	return slices.ContainsFunc(services, func(s *Service) bool {
		return slices.ContainsFunc(s.Endpoints, func(e Endpoint) bool { return fold(e.Slot) == slot })
	})
}

// found is addresses that may be kept for some seconds.
type found struct {
	addrs []netip.Addr
	ttl   uint32
}

func (m meaning) answer(q dns.Question) Answer {
	if m.kind == ports {
		return m.srv(q)
	}
	if m.kind == endpoint && !hasSlot(m.services, m.slot) {
		return Answer{Ours: true, Rcode: dns.RcodeNameError}
	}
	var all []found
	for _, s := range m.services {
		all = append(all, m.of(s)...)
	}
	return addresses(q, all)
}

// of is what the name stands for of one service.
func (m meaning) of(s *Service) (all []found) {
	if m.kind == service && len(s.Virtual) > 0 {
		return []found{{addrs: s.Virtual, ttl: ttl}}
	}
	for _, e := range s.Endpoints {
		if m.kind != endpoint || fold(e.Slot) == m.slot {
			all = append(all, found{addrs: e.Addrs, ttl: ttlEndpoint})
		}
	}
	return all
}

// addresses answers with what there is of the type that the question asks for.
// Nothing of that type is an answer, too.
func addresses(q dns.Question, all []found) Answer {
	a := Answer{Ours: true}
	for _, f := range all {
		for _, addr := range f.addrs {
			if rr := address(q.Name, addr.Unmap(), f.ttl); q.Qtype == rr.Header().Rrtype || q.Qtype == dns.TypeANY {
				a.Records = append(a.Records, rr)
			}
		}
	}
	return a
}

func address(name string, addr netip.Addr, seconds uint32) dns.RR {
	h := dns.RR_Header{Name: name, Class: dns.ClassINET, Ttl: seconds}
	if addr.Is4() {
		h.Rrtype = dns.TypeA
		return &dns.A{Hdr: h, A: addr.AsSlice()}
	}
	h.Rrtype = dns.TypeAAAA
	return &dns.AAAA{Hdr: h, AAAA: addr.AsSlice()}
}

// srv tells the port, and where it is: at the service's own address, or at each
// endpoint that has a name.
func (m meaning) srv(q dns.Question) Answer {
	labels := dns.SplitDomainName(q.Name)
	suffix := strings.Join(labels[2:], ".") + "."
	a := Answer{Ours: true}
	known := false
	for _, s := range m.services {
		for _, p := range s.Ports {
			if !strings.EqualFold(p.Protocol, m.protocol) || fold(p.Name) != m.port && strconv.Itoa(int(p.Port)) != m.port {
				continue
			}
			known = true
			if q.Qtype != dns.TypeSRV && q.Qtype != dns.TypeANY {
				continue
			}
			if len(s.Virtual) > 0 {
				a.point(q.Name, suffix, p.Port, found{s.Virtual, ttl})
				continue
			}
			for _, e := range s.Endpoints {
				if e.Slot != "" {
					a.point(q.Name, e.Slot+"."+suffix, p.Port, found{e.Addrs, ttlEndpoint})
				}
			}
		}
	}
	if !known {
		a.Rcode = dns.RcodeNameError
	}
	return a
}

func (a *Answer) point(name, target string, port uint16, f found) {
	a.Records = append(a.Records, &dns.SRV{
		Hdr:    dns.RR_Header{Name: name, Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: f.ttl},
		Weight: 1, Port: port, Target: target,
	})
	for _, addr := range f.addrs {
		a.Extra = append(a.Extra, address(target, addr.Unmap(), f.ttl))
	}
}
