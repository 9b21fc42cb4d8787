package upstream

import (
	"container/list"
	"time"

	"github.com/miekg/dns"
)

const (
	maxKept    = time.Hour
	maxMissing = 30 * time.Second // that there is no such name: it may just be made
	// maxEntry is how large an answer may be that is kept, overhead what keeping
	// one costs beside it.
	maxEntry = 8 << 10
	overhead = 200
)

// cache keeps packed answers, at most size bytes of them. An answer that nobody
// asked for again makes room first, so that one who asks for names at random
// drives out no other's.
type cache struct {
	size    int
	entries map[key]*list.Element
	fresh   segment // asked for once
	wanted  segment // asked for again
}

type segment struct {
	list.List // the one used last is in front

	bytes int
}

type entry struct {
	key
	raw    []byte
	stored time.Time
	until  time.Time
	in     *segment
}

func newCache(size int) *cache { return &cache{size: size, entries: make(map[key]*list.Element)} }

// get returns an answer with what is left of its records' times, nil if there is none.
func (c *cache) get(k key, now time.Time) *dns.Msg {
	el := c.entries[k]
	if el == nil {
		return nil
	}
	e := el.Value.(*entry) //nolint:forcetypeassert // nothing else is in it
	m := new(dns.Msg)
	if !now.Before(e.until) || m.Unpack(e.raw) != nil {
		c.drop(el)
		return nil
	}
	c.drop(el)
	c.push(&c.wanted, e)
	age := uint32(now.Sub(e.stored) / time.Second)
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			rr.Header().Ttl -= min(age, rr.Header().Ttl)
		}
	}
	return m
}

// put keeps an answer, if it may be.
func (c *cache) put(k key, m *dns.Msg, now time.Time) {
	keep := lifetime(m)
	if keep <= 0 {
		return
	}
	m.Compress = true
	raw, err := m.Pack()
	if err != nil || len(raw) > maxEntry {
		return
	}
	if old := c.entries[k]; old != nil {
		c.drop(old)
	}
	c.push(&c.fresh, &entry{key: k, raw: raw, stored: now, until: now.Add(keep)})
}

// push puts an entry in front of a segment and makes room for it. What was
// asked for again may fill all but a quarter.
func (c *cache) push(to *segment, e *entry) {
	e.in = to
	to.bytes += len(e.raw) + overhead
	c.entries[e.key] = to.PushFront(e)
	for c.wanted.bytes > c.size/4*3 {
		c.drop(c.wanted.Back())
	}
	for c.fresh.bytes+c.wanted.bytes > c.size && c.fresh.Len() > 0 {
		c.drop(c.fresh.Back())
	}
}

func (c *cache) drop(el *list.Element) {
	e := el.Value.(*entry) //nolint:forcetypeassert // nothing else is in it
	e.in.Remove(el)
	e.in.bytes -= len(e.raw) + overhead
	delete(c.entries, e.key)
}

// lifetime is how long an answer may be kept: as long as the first of its
// records ends, or, where it says that there is nothing, as long as RFC 2308
// has the zone say. 0 for not at all.
func lifetime(m *dns.Msg) time.Duration {
	if m.Truncated || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return 0
	}
	least := maxKept
	for _, rr := range m.Answer {
		least = min(least, seconds(rr.Header().Ttl))
	}
	if m.Rcode == dns.RcodeSuccess && found(m) {
		return least
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(least, maxMissing, seconds(soa.Hdr.Ttl), seconds(soa.Minttl))
		}
	}
	return 0
}

// found reports whether a name has what was asked for. One that is only another
// name of nothing has not.
func found(m *dns.Msg) bool {
	q := m.Question[0].Qtype
	for _, rr := range m.Answer {
		if t := rr.Header().Rrtype; t == q || q == dns.TypeANY {
			return true
		}
	}
	return false
}

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }
