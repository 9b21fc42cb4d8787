package upstream

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestAsked: what upstream servers see of a query, and what comes of the answer.
func TestAsked(t *testing.T) {
	s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{first: always(dns.RcodeSuccess, "example.com. 60 A 192.0.2.9")}}
	bubble(t, s, Config{}, func(fw *Forwarder) {
		q := query("Example.COM.", dns.TypeA)
		q.SetEdns0(4096, true)
		m, _ := ask(t, fw, two, q)
		if len(m.Answer) != 1 || m.Answer[0].Header().Name != "Example.COM." || !m.RecursionAvailable {
			t.Errorf("answer %v", m)
		}
		if m.IsEdns0() != nil {
			t.Error("the server's EDNS0 options are handed to the client")
		}
		if got := s.seen().Question[0].Name; got != "example.com." {
			t.Errorf("the server is asked for %s", got)
		}
		if opt := s.seen().IsEdns0(); opt == nil || opt.UDPSize() != udpSize || !opt.Do() {
			t.Errorf("the server is asked with %v", opt)
		}
		if s.seen().Id == q.Id {
			t.Error("the client chose the id")
		}
		if got, want := s.took(), []string{"ns " + first + " udp"}; !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
	})
}

// TestFailOver: who is asked, in which order, and how long that takes.
func TestFailOver(t *testing.T) {
	good := always(dns.RcodeSuccess, "example.com. 0 A 192.0.2.9")
	for name, tt := range map[string]struct {
		first, second func(string, *dns.Msg) []*dns.Msg
		rcode         int
		took          time.Duration
		then          time.Duration // the next one takes
	}{
		"the first answers":          {good, silent, dns.RcodeSuccess, 0, 0},
		"the first is silent":        {silent, good, dns.RcodeSuccess, tryFor, 0},
		"the first refuses packets":  {nil, good, dns.RcodeSuccess, minPause, 0},
		"the first fails":            {always(dns.RcodeServerFailure), good, dns.RcodeSuccess, 0, 0},
		"the first refuses":          {always(dns.RcodeRefused), good, dns.RcodeSuccess, 0, 0},
		"the first says there is no": {always(dns.RcodeNameError), good, dns.RcodeNameError, 0, 0},
		"both refuse":                {always(dns.RcodeRefused), always(dns.RcodeRefused), dns.RcodeRefused, 0, 0},
		"both are silent":            {silent, silent, dns.RcodeServerFailure, 2*tryFor + 4*retryFor, 6 * retryFor},
		"nobody is there":            {nil, nil, dns.RcodeServerFailure, 6 * minPause, 6 * minPause},
	} {
		t.Run(name, func(t *testing.T) {
			s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{first: tt.first, second: tt.second}}
			bubble(t, s, Config{}, func(fw *Forwarder) {
				m, took := ask(t, fw, two, query("example.com.", dns.TypeA))
				if m.Rcode != tt.rcode || took != tt.took {
					t.Errorf("answered %s after %s, want %s after %s", dns.RcodeToString[m.Rcode], took, dns.RcodeToString[tt.rcode], tt.took)
				}
				if _, took := ask(t, fw, two, query("example.com.", dns.TypeA)); took != tt.then {
					t.Errorf("the next one took %s, want %s", took, tt.then)
				}
			})
		})
	}
}

// TestBackOff: a server that was silent is asked again first when its time is
// up, ever later, and for less long; one that answers again is as any other.
func TestBackOff(t *testing.T) {
	s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{
		first:  silent,
		second: always(dns.RcodeSuccess, "example.com. 0 A 192.0.2.9"),
	}}
	bubble(t, s, Config{}, func(fw *Forwarder) {
		took := func() time.Duration {
			_, d := ask(t, fw, two, query("example.com.", dns.TypeA))
			return d
		}
		var slow []time.Duration
		began := time.Now()
		for time.Since(began) < time.Minute {
			if d := took(); d > 0 {
				slow = append(slow, d)
			}
			time.Sleep(100 * time.Millisecond)
		}
		// At 0, 1, 2, 4, 8, 16 and 30 seconds after each other.
		if len(slow) != 6 || slow[0] != tryFor || slow[5] != retryFor {
			t.Errorf("a silent server costs %v within a minute", slow)
		}
		s.now(first, always(dns.RcodeSuccess, "example.com. 0 A 192.0.2.8"))
		time.Sleep(lastBackOff)
		s.took()
		took()
		took()
		if got, want := s.took(), []string{"ns " + first + " udp", "ns " + first + " udp"}; !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
	})
}

// TestTruncated: an answer that does not fit is fetched over TCP.
func TestTruncated(t *testing.T) {
	long := func(network string, q *dns.Msg) []*dns.Msg {
		m := answer(q, dns.RcodeSuccess)
		m.Truncated = network == "udp"
		for i := range 100 {
			if network == "tcp" || i < 3 {
				m.Answer = append(m.Answer, answer(q, 0, fmt.Sprintf("example.com. 0 A 192.0.2.%d", i)).Answer...)
			}
		}
		return []*dns.Msg{m}
	}
	s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{first: long}}
	bubble(t, s, Config{}, func(fw *Forwarder) {
		if m, _ := ask(t, fw, two, query("example.com.", dns.TypeA)); len(m.Answer) != 100 || m.Truncated {
			t.Errorf("%d records, truncated: %t", len(m.Answer), m.Truncated)
		}
		s.now(first, func(network string, q *dns.Msg) []*dns.Msg {
			if network == "tcp" {
				return nil
			}
			return long(network, q)
		})
		if m, _ := ask(t, fw, two, query("example.com.", dns.TypeA)); len(m.Answer) != 3 || !m.Truncated {
			t.Errorf("without TCP: %d records, truncated: %t", len(m.Answer), m.Truncated)
		}
	})
}

// TestWithoutEDNS: a server that does not know EDNS0 is asked without.
func TestWithoutEDNS(t *testing.T) {
	s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{first: func(_ string, q *dns.Msg) []*dns.Msg {
		if q.IsEdns0() != nil {
			m := answer(q, dns.RcodeFormatError)
			m.Question, m.Extra = nil, nil
			return []*dns.Msg{m}
		}
		return []*dns.Msg{answer(q, dns.RcodeSuccess, "example.com. 0 A 192.0.2.9")}
	}}}
	bubble(t, s, Config{}, func(fw *Forwarder) {
		if m, took := ask(t, fw, two, query("example.com.", dns.TypeA)); len(m.Answer) != 1 || took != 0 {
			t.Errorf("answer after %s: %v", took, m)
		}
	})
}

// TestForged: answers to something else are not taken, and after some of them
// the question is asked in a way that nobody can guess.
func TestForged(t *testing.T) {
	forge := map[string]func(m *dns.Msg){
		"id":       func(m *dns.Msg) { m.Id++ },
		"name":     func(m *dns.Msg) { m.Question[0].Name = "example.org." },
		"type":     func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX },
		"class":    func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		"question": func(m *dns.Msg) { m.Question = nil },
		"query":    func(m *dns.Msg) { m.Response = false },
	}
	for name, spoil := range forge {
		for _, n := range []int{1, 100} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{first: func(network string, q *dns.Msg) (all []*dns.Msg) {
					for range n {
						if network == "udp" {
							m := answer(q, dns.RcodeSuccess, "example.com. 60 A 198.51.100.66")
							m.Question = slices.Clone(m.Question)
							spoil(m)
							all = append(all, m)
						}
					}
					return append(all, answer(q, dns.RcodeSuccess, "example.com. 60 A 192.0.2.9"))
				}}}
				bubble(t, s, Config{}, func(fw *Forwarder) {
					m, _ := ask(t, fw, two, query("example.com.", dns.TypeA))
					if len(m.Answer) != 1 || !strings.HasSuffix(m.Answer[0].String(), "192.0.2.9") {
						t.Errorf("the answer is %v", m.Answer)
					}
					if tcp := slices.Contains(s.took(), "ns "+first+" tcp"); tcp != (n > maxForged) {
						t.Errorf("asked over TCP: %t", tcp)
					}
				})
			})
		}
	}
}

// TestOnlyOthersAreAsked: a task that names its own resolver is not led in circles.
func TestOnlyOthersAreAsked(t *testing.T) {
	s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{first: always(dns.RcodeSuccess, "example.com. 60 A 192.0.2.9")}}
	bubble(t, s, Config{}, func(fw *Forwarder) {
		loop := two
		loop.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.11:53"), netip.MustParseAddrPort("[::ffff:127.0.0.11]:53")}
		if m, _ := ask(t, fw, loop, query("example.com.", dns.TypeA)); m.Rcode != dns.RcodeRefused {
			t.Errorf("answered %s", dns.RcodeToString[m.Rcode])
		}
		loop.Servers = append(loop.Servers, two.Servers...)
		if m, _ := ask(t, fw, loop, query("example.com.", dns.TypeA)); m.Rcode != dns.RcodeSuccess {
			t.Errorf("answered %s", dns.RcodeToString[m.Rcode])
		}
		if got, want := s.took(), []string{"ns " + first + " udp"}; !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
	})
}

// TestCircle: a server that asks us what it was asked waits for itself, once; it
// makes no storm.
func TestCircle(t *testing.T) {
	var fw *Forwarder
	s := &servers{says: make(map[string]func(string, *dns.Msg) []*dns.Msg)}
	s.says[first] = func(_ string, q *dns.Msg) []*dns.Msg {
		got := make(chan *dns.Msg, 1)
		fw.Answer(Source{Client: "the server", Netns: two.Netns, Servers: two.Servers[:1]}, q, func(m *dns.Msg) { got <- m })
		return []*dns.Msg{<-got}
	}
	bubble(t, s, Config{}, func(f *Forwarder) {
		fw = f
		one := two
		one.Servers = one.Servers[:1]
		if m, took := ask(t, fw, one, query("example.com.", dns.TypeA)); m.Rcode != dns.RcodeServerFailure || took > patience {
			t.Errorf("answered %s after %s", dns.RcodeToString[m.Rcode], took)
		}
		if asked := s.took(); len(asked) > rounds {
			t.Errorf("asked %d times", len(asked))
		}
	})
}

// TestLimits: a client that asks too much is refused, and another is not; nor
// is more under way than there may be.
func TestLimits(t *testing.T) {
	s := &servers{says: map[string]func(string, *dns.Msg) []*dns.Msg{first: silent}}
	bubble(t, s, Config{MaxOfClient: 5, MaxQueries: 12}, func(fw *Forwarder) {
		refused := make(map[string]int)
		began := time.Now()
		for _, client := range []string{"a", "b", "c"} {
			for i := range 7 {
				from := two
				from.Client = client
				fw.Answer(from, query(fmt.Sprintf("n%d.example.com.", i), dns.TypeA), func(m *dns.Msg) {
					if time.Since(began) == 0 && m.Rcode == dns.RcodeServerFailure {
						refused[client]++
					}
				})
			}
		}
		if got, want := fmt.Sprint(refused), "map[a:2 b:2 c:5]"; got != want {
			t.Errorf("refused %s, want %s", got, want)
		}
		synctest.Wait()
		if asked := s.took(); len(asked) != 5 {
			t.Errorf("%d questions are asked, of 5", len(asked))
		}
		time.Sleep(2 * patience)
		s.now(first, always(dns.RcodeSuccess, "example.com. 60 A 192.0.2.9"))
		if m, _ := ask(t, fw, two, query("example.com.", dns.TypeA)); m.Rcode != dns.RcodeSuccess {
			t.Errorf("afterwards: %s", dns.RcodeToString[m.Rcode])
		}
	})
}
