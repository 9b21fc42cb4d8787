package dns

import (
	"math/rand/v2"

	"github.com/miekg/dns"

	"github.com/muster/muster/ingress/dns/names"
	"github.com/muster/muster/ingress/dns/upstream"
)

const (
	// plainSize is how large an answer over UDP may be for a client that does not
	// say; maxSize what we allow, and say of ourselves. It is all on one machine.
	plainSize = dns.MinMsgSize
	maxSize   = 4096
	headerLen = 12
)

// answer has reply called once, with what to send back to a client for a packet;
// nil for nothing, as whoever sent it is no client of DNS. That is at once or
// later, by another goroutine. A stream has no limit but that of the format.
func (r *resolver) answer(client string, packet []byte, stream bool, reply func([]byte)) {
	q := new(dns.Msg)
	err := q.Unpack(packet)
	if len(packet) < headerLen || q.Response {
		reply(nil) // an answer to an answer could go on for ever
		return
	}
	size := dns.MaxMsgSize
	if !stream {
		size = sizeOf(q)
	}
	send := func(m *dns.Msg) { reply(pack(m, q, size)) }
	if rcode := judge(q, err); rcode != dns.RcodeSuccess {
		send(failure(q, rcode))
		return
	}
	t := r.table.Load()
	c := t.Client(client)
	if c == nil {
		reply(nil) // it comes, or goes
		return
	}
	if a := t.Answer(c, q.Question[0]); a.Ours {
		send(compose(q, a))
		return
	}
	if c.Internal {
		send(failure(q, dns.RcodeRefused))
		return
	}
	r.others.Answer(upstream.Source{Client: c.ID, Netns: c.Netns, Servers: c.Upstreams}, q, send)
}

// judge says what is wrong with a query; RcodeSuccess for nothing.
func judge(q *dns.Msg, unpack error) int {
	switch opt := q.IsEdns0(); {
	case unpack != nil:
		return dns.RcodeFormatError
	case q.Opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented
	case len(q.Question) != 1:
		return dns.RcodeFormatError
	case opt != nil && opt.Version() != 0:
		return dns.RcodeBadVers
	case q.Question[0].Qtype == dns.TypeAXFR || q.Question[0].Qtype == dns.TypeIXFR:
		return dns.RcodeRefused
	}
	return dns.RcodeSuccess
}

// sizeOf is how large an answer the client takes over UDP.
func sizeOf(q *dns.Msg) int {
	if opt := q.IsEdns0(); opt != nil {
		return min(max(int(opt.UDPSize()), plainSize), maxSize)
	}
	return plainSize
}

func failure(q *dns.Msg, rcode int) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(q, rcode)
	m.RecursionAvailable = true
	if len(q.Question) > 1 {
		m.Question = nil
	}
	return m
}

// compose makes a message of an answer of ours, its records in another order
// each time.
func compose(q *dns.Msg, a names.Answer) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(q, a.Rcode)
	m.Authoritative, m.RecursionAvailable = true, true
	m.Answer, m.Extra = a.Records, a.Extra
	rand.Shuffle(len(m.Answer), func(i, j int) { //nolint:gosec // spreads load, hides nothing
		m.Answer[i], m.Answer[j] = m.Answer[j], m.Answer[i]
	})
	return m
}

// pack makes a packet of an answer, as much of it as fits.
func pack(m, q *dns.Msg, size int) []byte {
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(maxSize, opt.Do())
	}
	m.Compress = true
	m.Truncate(size)
	raw, err := m.Pack()
	if err == nil {
		return raw
	}
	raw, _ = failure(q, dns.RcodeServerFailure).Pack()
	return raw
}
