package upstream

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const soa = "example.com. 20 SOA ns.example.com. admin.example.com. 1 2 3 4 10"

// TestKept: how long an answer is kept, and what of it is left to others.
func TestKept(t *testing.T) {
	for name, tt := range map[string]struct {
		rcode   int
		records []string
		keep    time.Duration
	}{
		"until its first record ends": {dns.RcodeSuccess, []string{"example.com. 60 CNAME a.example.com.", "a.example.com. 5 A 192.0.2.9"}, 5 * time.Second},
		"an hour at most":             {dns.RcodeSuccess, []string{"example.com. 604800 A 192.0.2.9"}, maxKept},
		"not at all":                  {dns.RcodeSuccess, []string{"example.com. 0 A 192.0.2.9"}, 0},
		"that there is no name":       {dns.RcodeNameError, []string{soa}, 10 * time.Second},
		"that there is no address":    {dns.RcodeSuccess, []string{soa}, 10 * time.Second},
		"an alias of nothing":         {dns.RcodeSuccess, []string{"example.com. 7 CNAME a.example.com.", soa}, 7 * time.Second},
		"nothing, by nobody's word":   {dns.RcodeNameError, nil, 0},
		"half a minute at most":       {dns.RcodeNameError, []string{"example.com. 999 SOA ns.example.com. admin.example.com. 1 2 3 4 999"}, maxMissing},
		"no failure":                  {dns.RcodeServerFailure, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{first: always(tt.rcode, tt.records...)}}
			bubble(t, s, Config{}, func(fw *Forwarder) {
				ask(t, fw, two, query("example.com.", dns.TypeA))
				if s.took(); tt.keep > 0 {
					time.Sleep(tt.keep - time.Second)
					m, took := ask(t, fw, two, query("EXAMPLE.com.", dns.TypeA))
					if asked := s.took(); len(asked) > 0 || took > 0 {
						t.Errorf("asked %q again after %s", asked, tt.keep-time.Second)
					}
					for _, rr := range append(m.Answer, m.Ns...) {
						if tt.keep != maxMissing && tt.keep != maxKept && rr.Header().Ttl > 60-uint32((tt.keep-time.Second)/time.Second) {
							t.Errorf("%v has all its time left", rr)
						}
					}
					time.Sleep(time.Second)
				}
				ask(t, fw, two, query("example.com.", dns.TypeA))
				if asked := s.took(); len(asked) == 0 {
					t.Errorf("not asked again after %s", tt.keep)
				}
			})
		})
	}
}

// TestKeptApart: one answer is not another's.
func TestKeptApart(t *testing.T) {
	s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{
		first: always(dns.RcodeSuccess, "example.com. 60 A 192.0.2.9"), second: always(dns.RcodeSuccess, "example.com. 60 A 192.0.2.8"),
	}}
	bubble(t, s, Config{}, func(fw *Forwarder) {
		signed, unchecked := query("example.com.", dns.TypeA), query("example.com.", dns.TypeA)
		signed.SetEdns0(4096, true)
		unchecked.CheckingDisabled = true
		elsewhere, others := two, two
		elsewhere.Netns = "another"
		others.Servers = others.Servers[1:]
		for name, a := range map[string]struct {
			from  Source
			query *dns.Msg
		}{
			"the first":         {two, query("example.com.", dns.TypeA)},
			"another type":      {two, query("example.com.", dns.TypeAAAA)},
			"another name":      {two, query("example.org.", dns.TypeA)},
			"signatures":        {two, signed},
			"unchecked":         {two, unchecked},
			"another namespace": {elsewhere, query("example.com.", dns.TypeA)},
			"other servers":     {others, query("example.com.", dns.TypeA)},
		} {
			if ask(t, fw, a.from, a.query); len(s.took()) == 0 {
				t.Errorf("%s is answered with another's answer", name)
			}
		}
	})
}

// TestCacheIsBounded: who asks for names at random drives out only such answers.
func TestCacheIsBounded(t *testing.T) {
	s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{first: func(_ string, q *dns.Msg) []*dns.Msg {
		return []*dns.Msg{answer(q, 0, q.Question[0].Name+" 3600 A 192.0.2.9")}
	}}}
	const size = 64 << 10
	bubble(t, s, Config{CacheSize: size}, func(fw *Forwarder) {
		for range 2 {
			for i := range 50 {
				ask(t, fw, two, query(fmt.Sprintf("wanted%d.example.com.", i), dns.TypeA))
			}
		}
		for i := range 2000 {
			ask(t, fw, two, query(fmt.Sprintf("random%d.example.com.", i), dns.TypeA))
		}
		if got := fw.cache.fresh.bytes + fw.cache.wanted.bytes; got > size || got < size/2 {
			t.Errorf("the cache has %d bytes, of %d", got, size)
		}
		if n := fw.cache.fresh.Len() + fw.cache.wanted.Len(); n != len(fw.cache.entries) {
			t.Errorf("%d entries, %d of them found", n, len(fw.cache.entries))
		}
		s.took()
		for i := range 50 {
			ask(t, fw, two, query(fmt.Sprintf("wanted%d.example.com.", i), dns.TypeA))
		}
		if asked := s.took(); len(asked) > 0 {
			t.Errorf("%d answers that were wanted are forgotten", len(asked))
		}
		for i := range 2000 {
			ask(t, fw, two, query(fmt.Sprintf("often%d.example.com.", i/2), dns.TypeA))
		}
		if got := fw.cache.fresh.bytes + fw.cache.wanted.bytes; got > size {
			t.Errorf("the cache has %d bytes, of %d", got, size)
		}
		ask(t, fw, two, query("new.example.com.", dns.TypeA))
		s.took()
		if ask(t, fw, two, query("new.example.com.", dns.TypeA)); len(s.took()) > 0 {
			t.Error("what was wanted leaves no room for what is new")
		}
	})
}
